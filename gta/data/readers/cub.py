"""CUB-200-2011 (Wah et al. 2011): text lists keyed by image id, ids from 1.

``CUB_200_2011/`` holds images.txt, image_class_labels.txt, train_test_split.txt (1 = training),
classes.txt and images/.
"""

from __future__ import annotations

from pathlib import Path

from gta.data.readers.listing import Entry, Listing, find_root, read_lines, to_label
from gta.errors import GtaError

LISTS = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt")
SPLITS = {"1": "train", "0": "test"}


def read(folder: Path) -> Listing:
    """List the images of CUB; see ``gta.data.readers.read``."""
    root = find_root(folder, "images", *LISTS, what="CUB_200_2011")
    names, images, labels, flags = (_by_id(root / file) for file in LISTS)
    classes = [name for name, _ in names.values()]
    entries: list[Entry] = []
    for number, (name, where) in images.items():
        if number not in labels or number not in flags:
            raise GtaError(f"{where}: image {number} is not in all of {', '.join(LISTS[2:])}")
        class_id, labelled_at = labels[number]
        flag, split_at = flags[number]
        if flag not in SPLITS:
            raise GtaError(f"{split_at}: {flag!r} is neither 1 (training) nor 0 (test)")
        split = SPLITS[flag]
        entries.append(
            Entry(
                name=name,
                path=root / "images" / name,
                label=to_label(class_id, classes, labelled_at, first=1),
                split=split,
                bss=f"{split}/{name}",
            )
        )
    return Listing(classes, entries)


def _by_id(path: Path) -> dict[str, tuple[str, str]]:
    """Values of a list by id, with file and line."""
    found: dict[str, tuple[str, str]] = {}
    for line, where in read_lines(path):
        number, _, value = line.partition(" ")
        if not value or number in found:
            raise GtaError(f"{where}: is not 'id value' with an id of its own: {line!r}")
        found[number] = value, where
    return found
