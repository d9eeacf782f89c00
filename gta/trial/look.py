"""Inspection of a folder of photographs, before anything is prepared or trained."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gta.catalog import Drawn
from gta.data.contents import file_digests
from gta.data.images import decode, decode_mask, quiet
from gta.data.readers import OWN, Entry, Listing, read
from gta.data.readers.listing import SPLIT_NAMES
from gta.errors import GtaError, listed

SPLIT = Drawn(test=20, heldout=20, seed=0)
IMBALANCE = 5  # a largest class of so many times the smallest is said
FEW = 5  # training images of a class, below which it is said


@dataclass(frozen=True)
class Look:
    """Contents of a folder.

    Attributes:
        folder: the folder, or a CSV file.
        listing: the images, with the splits that the study will use.
        drawn: how test images are drawn; None where the folder has splits.
        sizes: (images, 2) heights and widths of the images that can be decoded.
        damaged: names and faults of the images that cannot.
        copies: groups of names whose files are equal and that stand in several splits or classes.
    """

    folder: Path
    listing: Listing
    drawn: Drawn | None
    sizes: np.ndarray
    damaged: list[str]
    copies: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """Images by split."""
        return dict(Counter(entry.split for entry in self.listing.entries))

    @property
    def has_heldout(self) -> bool:
        """Whether some images are held out for choosing λ."""
        return self.counts.get("heldout", 0) > 0

    def facts(self) -> list[str]:
        """Lines that say what there is."""
        listing, counts = self.listing, self.counts
        splits = ", ".join(f"{counts.get(s, 0):,} {s}" for s in ("train", "heldout", "test"))
        drawn = "" if self.drawn is None else f" (drawn with seed {self.drawn.seed})"
        short = self.sizes.min(axis=1)
        masks = sum(entry.mask is not None for entry in listing.entries)
        per_class = Counter(entry.label for entry in listing.entries).values()
        lines = [
            f"{len(listing.classes)} classes, {len(listing.entries):,} images: {splits}{drawn}",
            f"images of a class: {min(per_class)} to {max(per_class)}",
            f"shorter side: {short.min()} to {short.max()} pixels, median {np.median(short):.0f}",
        ]
        if masks:
            lines.append(f"object masks: {masks:,} images")
        return lines

    def warnings(self) -> list[str]:
        """Lines that say what is wrong or may mislead."""
        train = Counter(e.label for e in self.listing.entries if e.split == "train")
        lines = []
        if self.damaged:
            lines.append(f"{len(self.damaged)} damaged, left out: {listed(self.damaged, 5)}")
        if self.copies:
            lines.append(
                f"{len(self.copies)} files stand in several splits or classes: "
                f"{listed(self.copies, 3)}; accuracy on copies flatters"
            )
        if max(train.values()) >= IMBALANCE * min(train.values()):
            least = min(train, key=lambda label: (train[label], label))
            lines.append(
                f"classes are uneven: {min(train.values())} training images "
                f"({self.listing.classes[least]}) to {max(train.values())}; plain accuracy "
                "favours the large ones"
            )
        few = [name for label, name in enumerate(self.listing.classes) if train[label] < FEW]
        if few:
            lines.append(f"fewer than {FEW} training images: {listed(few, 5)}")
        return lines


def look_at(folder: Path, progress: Callable[[int, int], None] | None = None) -> Look:
    """List a folder's images, decode each, and compare their files.

    Args:
        folder: class folders; or ``train`` and ``test`` with class folders; or a CSV file.
        progress: called with the images done and the total.

    Raises:
        GtaError: if it is not laid out so, or a class cannot be trained and tested.
    """
    if not folder.exists():
        raise GtaError("missing", where=folder, remedy="name a folder of photographs")
    drawn = None if folder.is_file() or _has_splits(folder) else SPLIT
    listing = read(OWN, folder, drawn)
    sizes, damaged = _decode(listing, progress)
    if not len(sizes):
        raise GtaError("no image can be decoded", where=folder, remedy=f"the first: {damaged[0]}")
    return Look(folder, listing, drawn, sizes, damaged, _copies(listing))


def _has_splits(folder: Path) -> bool:
    names = {name for names in SPLIT_NAMES.values() for name in names}
    return any(path.name.casefold() in names for path in folder.iterdir() if path.is_dir())


def _decode(
    listing: Listing, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, list[str]]:
    sizes: list[tuple[int, int]] = []
    damaged: list[str] = []
    with quiet(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, found in enumerate(pool.map(_size, listing.entries), start=1):
            if isinstance(found, str):
                damaged.append(found)
            else:
                sizes.append(found)
            if progress is not None:
                progress(done, len(listing.entries))
    return np.array(sizes, dtype=np.int64).reshape(-1, 2), damaged


def _size(entry: Entry) -> tuple[int, int] | str:
    """Height and width of an image, or its fault."""
    try:
        height, width = decode(entry.path, entry.name).shape[:2]
        if entry.mask is not None:
            decode_mask(entry.mask, f"mask of {entry.name}")
    except GtaError as error:
        return str(error)
    return height, width


def _copies(listing: Listing) -> list[str]:
    digests = file_digests(listing)
    same: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing.entries:
        same[digests[entry.path]].append(entry)
    return [
        " = ".join(entry.name for entry in entries)
        for entries in same.values()
        if len({(entry.split, entry.label) for entry in entries}) > 1
    ]
