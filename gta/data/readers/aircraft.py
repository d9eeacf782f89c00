"""FGVC-Aircraft (Maji et al. 2013), its 100 variants; trainval is the training split.

``fgvc-aircraft-2013b/data/`` holds variants.txt, images_variant_trainval.txt and
images_variant_test.txt, whose lines are ``image variant`` (a variant may hold spaces and '/'),
and images/. The lowest 20 rows of every image are a banner with its copyright: no part of the
photograph, and cut off here.
"""

from __future__ import annotations

from pathlib import Path

from gta.data.readers.listing import Entry, Listing, find_root, read_lines
from gta.errors import GtaError

LISTS = {"images_variant_trainval.txt": "train", "images_variant_test.txt": "test"}
BANNER = 20  # rows


def read(folder: Path) -> Listing:
    """List the images of Aircraft; see ``gta.data.readers.read``."""
    root = find_root(
        folder, "images", "variants.txt", *LISTS, what="the folder data/ of fgvc-aircraft-2013b"
    )
    classes = [line for line, _ in read_lines(root / "variants.txt")]
    labels = {variant: label for label, variant in enumerate(classes)}
    entries: list[Entry] = []
    for file, split in LISTS.items():
        for line, where in read_lines(root / file):
            number, _, variant = line.partition(" ")
            if variant not in labels:
                raise GtaError(f"{where}: variant {variant!r} is not in variants.txt")
            entries.append(
                Entry(
                    name=f"{number}.jpg",
                    path=root / "images" / f"{number}.jpg",
                    label=labels[variant],
                    split=split,
                    bss=f"{split}/{variant.replace('/', '-')}/{number}.jpg",
                    crop_bottom=BANNER,
                )
            )
    return Listing(classes, entries)
