"""Stanford Dogs (Khosla et al. 2011), 120 breeds of ImageNet.

``train_list.mat`` and ``test_list.mat`` hold file_list (``n02085620-Chihuahua/n02085620_5927.jpg``)
and labels (from 1); the files lie in ``Images/``. The two archives unpack into one folder.
"""

from __future__ import annotations

from pathlib import Path

from gta.data.readers.listing import Entry, Listing, find_root
from gta.data.readers.matlab import read_mat
from gta.errors import GtaError

LISTS = {"train_list.mat": "train", "test_list.mat": "test"}


def read(folder: Path) -> Listing:
    """List the images of Dogs; see ``gta.data.readers.read``."""
    images = find_root(folder, "Images", what="the images of Stanford Dogs (Images/)") / "Images"
    lists = find_root(folder, *LISTS, what="the lists of Stanford Dogs")
    breeds: dict[int, str] = {}
    entries: list[Entry] = []
    for file, split in LISTS.items():
        path = lists / file
        names, labels = read_mat(path, "file_list"), read_mat(path, "labels")
        if len(names) != len(labels):
            raise GtaError(f"{path}: {len(names)} files, but {len(labels)} labels")
        for name, number in zip(names, map(int, labels), strict=True):
            breed = name.partition("/")[0]
            if breeds.setdefault(number, breed) != breed:
                raise GtaError(f"{path}: class {number} is {breeds[number]}, but of {name} {breed}")
            entries.append(
                Entry(name, images / name, label=number - 1, split=split, bss=f"{split}/{name}")
            )
    if sorted(breeds) != list(range(1, len(breeds) + 1)):
        raise GtaError(f"{lists}: the class ids are not 1 to {len(breeds)}, each with an image")
    return Listing([breeds[number] for number in sorted(breeds)], entries)
