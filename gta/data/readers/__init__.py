"""Readers: a folder with a dataset in its own layout becomes a ``Listing``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from gta.catalog import Counts, Drawn
from gta.data.readers import aircraft, cars, cub, dogs, flowers17, folder, grocery, pet, voc12
from gta.data.readers.classes import check_classes
from gta.data.readers.listing import Entry, Listing, MaskIds, require_files
from gta.errors import GtaError, listed

__all__ = [
    "OWN",
    "READERS",
    "Entry",
    "Listing",
    "MaskIds",
    "check_classes",
    "check_contents",
    "check_counts",
    "read",
]

OWN = "folder"  # the reader of users' own datasets

READERS: MappingProxyType[str, Callable[[Path], Listing]] = MappingProxyType(
    {
        "cub": cub.read,
        "cars": cars.read,
        "aircraft": aircraft.read,
        "dogs": dogs.read,
        "pet": pet.read,
        "voc12": voc12.read,
        "grocery": grocery.read,
        "flowers17": flowers17.read,
        OWN: folder.read,
    }
)


def read(reader: str, path: Path, drawn: Drawn | None = None) -> Listing:
    """List the images of a dataset and check that they are there.

    Args:
        reader: key of ``READERS``.
        path: where its archives were unpacked, or a copy that is unpacked already; for the
            user's own datasets a folder or a CSV file.
        drawn: how test images of such a dataset are drawn, if it has no splits.

    Raises:
        GtaError: if the layout is another one, a list is broken, an image is listed twice, a
            listed file is missing, or a class lacks images.
    """
    if reader not in READERS:
        raise GtaError(f"no reader {reader!r}; there are: {', '.join(READERS)}")
    if not path.exists():
        raise GtaError(f"{path}: missing; the {reader} dataset is expected there")
    listing = folder.read(path, drawn) if reader == OWN else READERS[reader](path)
    _check(listing, path)
    if reader == OWN:
        check_classes(listing.classes, listing.entries, str(path), all_splits=True)
    return listing


def _check(listing: Listing, folder: Path) -> None:
    if not listing.entries:
        raise GtaError(f"{folder}: its lists name no images")
    times = Counter(entry.name for entry in listing.entries)
    twice = [name for name, number in times.items() if number > 1]
    if twice:
        raise GtaError(f"{folder}: {len(twice)} images are listed twice, the first is {twice[0]}")
    masks = [entry.mask for entry in listing.entries if entry.mask]
    require_files([entry.path for entry in listing.entries] + masks)
    seen = {entry.label for entry in listing.entries}
    empty = [name for label, name in enumerate(listing.classes) if label not in seen]
    if empty:
        raise GtaError(f"{folder}: {len(empty)} classes have no image: {listed(empty)}")


def check_contents(listing: Listing, sha256: str, dataset: str) -> str:
    """Compare the bytes of all listed files with a digest.

    For archives that their host packs anew for each download, whose own bytes may vary.

    Args:
        listing: the images and masks.
        sha256: of the lines ``<file name><tab><its sha256>`` of all files, sorted and joined by
            newlines.
        dataset: for the message.

    Returns:
        The digest.

    Raises:
        GtaError: if the files are not those that the digest was taken of.
    """
    paths = [path for entry in listing.entries for path in (entry.path, entry.mask) if path]
    lines = sorted(
        f"{path.name}\t{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths
    )
    found = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if found != sha256:
        raise GtaError(
            f"{dataset}: its files are not the published ones (sha256 {found[:12]}, not "
            f"{sha256[:12]}); fetch the archive again, or set images: {{counts: any}} to use them"
        )
    return found


def check_counts(listing: Listing, counts: Counts, dataset: str) -> None:
    """Compare a listing with what is published of the dataset (for the paper's: its table 1).

    Raises:
        GtaError: naming every number that differs.
    """
    splits = Counter(entry.split for entry in listing.entries)
    compared = [
        ("classes", len(listing.classes), counts.classes),
        ("training images", splits["train"], counts.train),
        ("test images", splits["test"], counts.test),
        ("held-out images", splits["heldout"], counts.heldout),
    ]
    wrong = [
        f"{found} {what} instead of {expected}"
        for what, found, expected in compared
        if found != expected
    ]
    if wrong:
        raise GtaError(f"{dataset}: {', '.join(wrong)}; the archives are incomplete or others")
