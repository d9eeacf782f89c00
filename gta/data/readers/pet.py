"""Oxford-IIIT Pet (Parkhi et al. 2012), its 37 breeds; trainval is the training split.

``annotations/trainval.txt`` and ``test.txt`` have lines ``image class-id species breed-id``, class
ids from 1; ``images/<image>.jpg``, the breed being the image's name without its number. Some
files named .jpg are PNG or GIF.
"""

from __future__ import annotations

from pathlib import Path

from gta.data.readers.listing import Entry, Listing, find_root, read_lines
from gta.errors import GtaError

LISTS = {"trainval.txt": "train", "test.txt": "test"}


def read(folder: Path) -> Listing:
    """List the images of Pet; see ``gta.data.readers.read``."""
    root = find_root(
        folder,
        "images",
        *(f"annotations/{file}" for file in LISTS),
        what="Oxford-IIIT Pet (images/ and annotations/)",
    )
    breeds: dict[int, str] = {}
    entries: list[Entry] = []
    for file, split in LISTS.items():
        for line, where in read_lines(root / "annotations" / file):
            if line.startswith("#"):
                continue
            name, *ids = line.split()
            if len(ids) != 3 or not ids[0].isdigit():
                raise GtaError(f"{where}: is not 'image class-id species breed-id': {line!r}")
            number, breed = int(ids[0]), name.rpartition("_")[0]
            if breeds.setdefault(number, breed) != breed:
                raise GtaError(f"{where}: class {number} is {breeds[number]}, but here {breed}")
            entries.append(
                Entry(
                    name=f"{name}.jpg",
                    path=root / "images" / f"{name}.jpg",
                    label=number - 1,
                    split=split,
                    bss=f"{split}/{number}/{name}.jpg",
                )
            )
    if sorted(breeds) != list(range(1, len(breeds) + 1)):
        raise GtaError(f"{root / 'annotations'}: the class ids are not 1 to {len(breeds)}")
    return Listing([breeds[number] for number in sorted(breeds)], entries)
