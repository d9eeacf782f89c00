"""Listings: the images of a dataset in the order of its own lists, as readers return them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gta.errors import GtaError

# How far below the given folder a dataset's own root is looked for: copies are often nested,
# once by the archive's name and once by the tool that unpacked it, and some roots lie two deep.
DEPTH = 4

# Names of splits in folders and CSV files of the user's own, in lower case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "heldout": ("heldout", "held-out", "held_out", "val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

OBJECT, VOID = 1, 255  # ids in the masks of a store
UNKNOWN = 254  # marks ids without a meaning while a mask is translated


@dataclass(frozen=True)
class MaskIds:
    """Meaning of the values of a mask file.

    Attributes:
        objects: ids of the object; None for every id that is neither background nor void.
        background: ids of the background.
        void: ids of pixels that belong to neither.
    """

    objects: frozenset[int] | None = None
    background: frozenset[int] = frozenset({0})
    void: frozenset[int] = frozenset()

    def translate(self, mask: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Map a mask file's values to those of a store: 0 background, 1 object, 255 void.

        Args:
            mask: (height, width) uint8.
            name: of the mask in messages.

        Raises:
            GtaError: if a value has no meaning.
        """
        table = np.full(256, OBJECT if self.objects is None else UNKNOWN, dtype=np.uint8)
        table[list(self.objects or ())] = OBJECT
        table[list(self.background)] = 0
        table[list(self.void)] = VOID
        found = table[mask]
        if (found == UNKNOWN).any():
            ids = sorted(set(np.unique(mask[found == UNKNOWN]).tolist()))
            raise GtaError(f"{name}: holds ids without a meaning: {', '.join(map(str, ids))}")
        return found


@dataclass(frozen=True)
class Entry:
    """One image of a dataset: file, label, split, name.

    Attributes:
        name: of the image in the dataset's own lists, unique.
        path: of the file.
        label: class index, from 0.
        split: ``train``, ``test`` or ``heldout``.
        mask: file of its class ids; None where the image has none.
        bss: its name in the lists of BSS; None where it is in none.
        crop_bottom: rows of pixels at the bottom that are not part of the photograph.
    """

    name: str
    path: Path
    label: int
    split: str
    mask: Path | None = None
    bss: str | None = None
    crop_bottom: int = 0


@dataclass(frozen=True)
class Listing:
    """All images of a dataset.

    Attributes:
        classes: names by label.
        entries: the images, in an order that depends on the dataset alone (subsets are drawn
            by position), not on the folder it lies in.
        mask_ids: what the values of its masks mean; None where they are class ids as a store
            keeps them (0 background, 255 void).
    """

    classes: list[str]
    entries: list[Entry]
    mask_ids: MaskIds | None = None

    @property
    def has_masks(self) -> bool:
        """Whether any image has a mask."""
        return any(entry.mask is not None for entry in self.entries)


def find_root(folder: Path, *markers: str, what: str) -> Path:
    """The folder that holds all markers: ``folder`` or one at most ``DEPTH`` levels below.

    Args:
        folder: where the archives were unpacked.
        markers: files or folders that the layout's root has, as relative paths.
        what: the layout, for the message.

    Raises:
        GtaError: if there is none, or several equally deep.
    """
    found = _roots(folder, markers)
    if len(found) > 1:
        raise GtaError(
            f"{folder}: holds {what} more than once: {', '.join(map(str, found))}; leave one"
        )
    if not found:
        raise GtaError(f"{folder}: does not hold {what} (no folder in it has {', '.join(markers)})")
    return found[0]


def has_root(folder: Path, *markers: str) -> bool:
    """Whether a folder holds a layout's root, as ``find_root`` looks for it."""
    return bool(_roots(folder, markers))


def _roots(folder: Path, markers: Sequence[str]) -> list[Path]:
    """The least deep folders that hold all markers."""
    level = [folder]
    for _ in range(DEPTH + 1):
        found = [path for path in level if all((path / marker).exists() for marker in markers)]
        if found:
            return found
        level = [below for path in level for below in folders_below(path)]
    return []


def folders_below(path: Path) -> list[Path]:
    """The folders in a folder, without hidden ones; empty if it is not a folder."""
    if not path.is_dir():
        return []
    hidden = ("._", ".", "__MACOSX")  # macOS adds a shadow of the tree to its zip files
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(hidden))


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that are not blank, each with where it stands (``file:number``).

    Raises:
        GtaError: if the file cannot be read or is not text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GtaError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise GtaError(f"{path}: is not a text file") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield line.strip(), f"{path}:{number}"


def require_files(paths: Sequence[Path]) -> None:
    """Check that listed files are there.

    Raises:
        GtaError: naming the first that is missing, and how many are.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GtaError(
            f"{missing[0]}: missing, though the lists name it "
            f"({len(missing)} of {len(paths)} files are); unpack the dataset again"
        )


def to_label(text: str, classes: Sequence[str], where: str, first: int = 0) -> int:
    """A class id as a list writes it, as a label from 0.

    Args:
        text: the id.
        classes: names of the classes.
        where: for the message.
        first: id of the first class.

    Raises:
        GtaError: if it is not an integer or none of the classes.
    """
    try:
        label = int(text) - first
    except ValueError:
        raise GtaError(f"{where}: class id {text.strip()!r} is not an integer") from None
    if not 0 <= label < len(classes):
        raise GtaError(
            f"{where}: class id {text.strip()} is not in {first}..{len(classes) - 1 + first}"
        )
    return label
