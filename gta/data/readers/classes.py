"""Names of classes and their images: spelt alike, each trained and tested."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from gta.data.readers.listing import Entry
from gta.errors import GtaError, listed

MOST_CLASSES = 2**15  # predictions are int16


def plain(name: str) -> str:
    """A class's name with single blanks, none around it, in Unicode's composed form (NFC)."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def check_names(names: Iterable[str], where: str) -> None:
    """Check that no two names of classes differ in upper and lower case alone.

    Raises:
        GtaError: naming them.
    """
    by_case: dict[str, set[str]] = {}
    for name in map(plain, names):
        by_case.setdefault(name.casefold(), set()).add(name)
    alike = [" and ".join(sorted(group)) for group in by_case.values() if len(group) > 1]
    if alike:
        raise GtaError(
            f"{where}: classes that differ only in case: {listed(sorted(alike))}; write them alike"
        )


def check_classes(
    classes: Sequence[str], entries: Iterable[Entry], where: str, *, all_splits: bool
) -> None:
    """Check that what is tested or held out is trained, too.

    Args:
        classes: names by label.
        entries: the images that there are.
        where: for the message.
        all_splits: whether each class needs training and test images, and two classes are needed,
            as in datasets of the user's own.

    Raises:
        GtaError: naming the classes.
    """
    if len(classes) > MOST_CLASSES:
        raise GtaError(f"{where}: has {len(classes):,} classes; at most {MOST_CLASSES:,} fit")
    counts = Counter((entry.label, entry.split) for entry in entries)
    splits = {split for _, split in counts}
    if all_splits and len(classes) < 2:
        raise GtaError(f"{where}: has one class, {classes[0]!r}; at least two are needed")
    for split, what in (("train", "training"), ("test", "test")):
        if not all_splits and (split == "test" or split not in splits):
            continue
        lacking = [name for label, name in enumerate(classes) if not counts[label, split]]
        if lacking:
            raise GtaError(
                f"{where}: {len(lacking)} of {len(classes)} classes have no {what} image: "
                f"{listed(lacking)}; add images, or remove the class from every split"
            )
