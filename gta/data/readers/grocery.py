"""Grocery Store (Klasson et al. 2019, github.com/marcusklasson/GroceryStoreDataset).

``dataset/`` holds classes.csv (81 fine classes) and train.txt, val.txt, test.txt, whose lines are
``path, fine class id, coarse class id``, the path relative to ``dataset/``. Its val.txt is the
held-out split.
"""

from __future__ import annotations

import csv
from pathlib import Path

from gta.data.readers.listing import Entry, Listing, find_root, read_lines, to_label
from gta.errors import GtaError

LISTS = {"train.txt": "train", "val.txt": "heldout", "test.txt": "test"}


def read(folder: Path) -> Listing:
    """List the images of Grocery Store; see ``gta.data.readers.read``."""
    root = find_root(
        folder, "classes.csv", *LISTS, what="the folder dataset/ of the Grocery Store dataset"
    )
    classes = _classes(root / "classes.csv")
    entries: list[Entry] = []
    for file, split in LISTS.items():
        for line, where in read_lines(root / file):
            fields = line.rsplit(",", 2)
            if len(fields) != 3:
                raise GtaError(f"{where}: is not 'path, fine class id, coarse class id': {line!r}")
            name = fields[0].strip()
            label = to_label(fields[1], classes, where)
            entries.append(Entry(name, root / name, label, split))
    return Listing(classes, entries)


def _classes(path: Path) -> list[str]:
    """Names by id, from the first two columns."""
    names: dict[int, str] = {}
    lines = list(read_lines(path))[1:]  # below the header
    for (name, number, *_), (_, where) in zip(
        csv.reader(line for line, _ in lines), lines, strict=True
    ):
        try:
            names[int(number)] = name
        except ValueError:
            raise GtaError(f"{where}: class id {number!r} is not an integer") from None
    if sorted(names) != list(range(len(names))):
        raise GtaError(f"{path}: the class ids are not 0 to {len(names) - 1}, each once")
    return [names[number] for number in range(len(names))]
