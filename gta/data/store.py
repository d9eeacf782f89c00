"""The prepared form of a data set: pixels in one memory-mapped file, an index beside it.

A store is a folder:

- ``pixels.bin``: the images one after another, each (height, width, 3) uint8;
- ``masks.bin``: where the data set has masks, each (height, width) uint8; that of an image
  without a mask is void throughout;
- ``index.parquet``: a row an image, of the schema ``INDEX``;
- ``store.json``: format, name, classes, digest; written last, so that its presence says
  that the rest is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gta.catalog import STORE_FORMAT
from gta.errors import GtaError
from gta.files import atomic_write, write_text

VOID = 255  # in masks of classes: pixels that belong to none
SPLITS = ("train", "test", "heldout")

INDEX = pa.schema(
    [
        ("name", pa.string()),
        ("label", pa.int32()),
        ("split", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("offset", pa.int64()),  # of the image's first pixel, in pixels
        ("digest", pa.string()),  # of the pixels
        ("original_height", pa.int32()),  # before it was resized for the store
        ("original_width", pa.int32()),
        ("bss", pa.string()),  # its name in the published split lists; null where there are none
    ]
)


@dataclass(frozen=True)
class Item:
    """One image on its way into a store.

    Attributes:
        name: of the image, unique in the data set.
        label: class index.
        split: ``train``, ``test`` or ``heldout``.
        pixels: (height, width, 3) uint8, RGB.
        mask: (height, width), None where there is none; bool: True on the object; uint8: of
            each pixel's class (0 is background, ``VOID`` none; an image without a mask among
            others that have one is ``VOID`` throughout).
        original: (height, width) before it was resized; None where it was not.
        bss: its name in the published split lists.
    """

    name: str
    label: int
    split: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | NDArray[np.uint8] | None = None
    original: tuple[int, int] | None = None
    bss: str | None = None


class Store:
    """A prepared data set, mapped into memory; nothing is copied before it is read.

    Attributes:
        folder: where it lies.
        name: of the data set.
        classes: names of the classes, by label.
        digest: of all pixels, masks, labels and splits.
        labels: (images,) int32.
        splits: (images,) of ``train``, ``test`` or ``heldout``.
        masks: ``object``, ``classes``, or None where there are none.
        notes: of how it was made.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            GtaError: if it is missing, of another format, or shorter than its index says.
        """
        self.folder = folder
        about = _read_about(folder)
        self.name: str = about["name"]
        self.classes: list[str] = about["classes"]
        self.digest: str = about["digest"]
        self.notes: dict[str, Any] = about["notes"]
        try:
            index = pq.ParquetFile(folder / "index.parquet").read()
        except (OSError, pa.ArrowException) as error:
            raise _broken(folder, f"index.parquet: {error}") from None
        if not index.schema.equals(INDEX):
            raise _broken(folder, "index.parquet: has other columns")
        self._index = index
        self.labels: NDArray[np.int32] = index["label"].to_numpy()
        self.splits: NDArray[np.str_] = np.asarray(index["split"].to_pylist())
        self._heights = index["height"].to_numpy()
        self._widths = index["width"].to_numpy()
        self._offsets = index["offset"].to_numpy()
        area = int((self._heights.astype(np.int64) * self._widths).sum())
        self._pixels = _map(folder / "pixels.bin", area * 3)
        self.masks: str | None = about["masks"]
        self._masks = _map(folder / "masks.bin", area) if self.masks else None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def has_masks(self) -> bool:
        """Whether images have masks, all or some of them."""
        return self._masks is not None

    @property
    def originals(self) -> NDArray[np.int32]:
        """(images, 2): height and width before the images were resized for the store."""
        columns = (self._index["original_height"], self._index["original_width"])
        return np.stack([column.to_numpy() for column in columns], axis=1)

    @property
    def bss(self) -> list[str | None]:
        """Names of the images in the published split lists."""
        return self._index["bss"].to_pylist()

    @cached_property
    def names(self) -> list[str]:
        """Names of the images."""
        return self._index["name"].to_pylist()

    def indices(self, split: str) -> NDArray[np.int64]:
        """Positions of a split's images."""
        return np.flatnonzero(self.splits == split)

    def image(self, position: int) -> NDArray[np.uint8]:
        """An image, (height, width, 3) uint8, a view of the mapped file."""
        height, width = int(self._heights[position]), int(self._widths[position])
        start = int(self._offsets[position]) * 3
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def images(self, positions: Iterable[int]) -> list[NDArray[np.uint8]]:
        """Images, each (height, width, 3) uint8."""
        return [self.image(position) for position in positions]

    def mask(self, position: int) -> NDArray[np.bool_]:
        """An image's object mask, (height, width) bool; of classes: what is not background.

        All False for an image without a mask among others that have one.

        Raises:
            GtaError: if the data set has no masks.
        """
        found = self.class_mask(position)
        if self.masks == "object":
            return found.view(np.bool_)
        return (found != 0) & (found != VOID)

    def is_masked(self, position: int) -> bool:
        """Whether an image has a mask: in a dataset with masks, one that is not void throughout."""
        return self.has_masks and not bool((self.class_mask(position) == VOID).all())

    def class_mask(self, position: int) -> NDArray[np.uint8]:
        """Each pixel's class, (height, width) uint8; of an object mask 0 or 1.

        Raises:
            GtaError: if the data set has no masks.
        """
        if self._masks is None:
            raise GtaError(f"{self.folder}: {self.name} has no object masks")
        height, width = int(self._heights[position]), int(self._widths[position])
        start = int(self._offsets[position])
        return self._masks[start : start + height * width].reshape(height, width)

    def verify(self) -> None:
        """Compare all pixels, masks, labels and splits with their digests.

        Raises:
            GtaError: if one is another.
        """
        total = _Total(self.name, self.classes)
        columns = ("name", "label", "split", "digest")
        rows = zip(*(self._index[column].to_pylist() for column in columns), strict=True)
        for position, (name, label, split, digest) in enumerate(rows):
            mask = self.class_mask(position) if self.has_masks else None
            if total.add(name, label, split, self.image(position), mask) != digest:
                raise _broken(self.folder, f"image {name} is another")
        if total.hexdigest() != self.digest:
            raise _broken(self.folder, "index.parquet is another")


class _Total:
    """The digest of a store: of its name and classes, then of each image in order."""

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        self._sha256 = hashlib.sha256(json.dumps([name, list(classes)]).encode())

    def add(
        self,
        name: str,
        label: int,
        split: str,
        image: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
    ) -> str:
        """Take an image in, (height, width, 3), with its mask; gives its own digest."""
        digest = hashlib.sha256(image.data)
        if mask is not None:
            digest.update(mask.data)
        height, width = image.shape[:2]
        self._sha256.update(f"{name}\t{label}\t{split}\t{height}\t{width}".encode())
        self._sha256.update(digest.digest())
        return digest.hexdigest()

    def hexdigest(self) -> str:
        """Of all that was taken in."""
        return self._sha256.hexdigest()


def read_digest(folder: Path) -> str:
    """Digest of a store, without opening the rest of it."""
    digest: str = _read_about(folder)["digest"]
    return digest


def write(
    folder: Path,
    name: str,
    classes: Sequence[str],
    items: Iterable[Item],
    notes: Mapping[str, Any] | None = None,
) -> Store:
    """Write a store, item by item, ``store.json`` last; one that is there is replaced.

    Args:
        folder: of the store; made where missing.
        name: of the data set.
        classes: names by label.
        items: the images, at least one; all or none with a mask.
        notes: of how it was made, kept in ``store.json``; read after the last item.

    Raises:
        GtaError: if an item is not what ``Item`` says, some items have masks and some have
            not, there is no item, or the disk is full.
    """
    # From here on it is not whole, whatever interrupts this.
    (folder / "store.json").unlink(missing_ok=True)
    rows: list[dict[str, object]] = []
    offset = 0
    masked: set[str | None] = set()
    total = _Total(name, classes)
    with (
        atomic_write(folder / "pixels.bin") as pixels_path,
        atomic_write(folder / "masks.bin") as masks_path,
        pixels_path.open("wb") as pixels,
        masks_path.open("wb") as masks,
    ):
        for item in items:
            _check(item, len(classes))
            image, mask = np.ascontiguousarray(item.pixels), None
            pixels.write(image.data)
            masked.add(_kind(item))
            if item.mask is not None:
                mask = np.ascontiguousarray(item.mask, dtype=np.uint8)
                masks.write(mask.data)
            height, width = image.shape[:2]
            rows.append(
                {
                    "name": item.name,
                    "label": item.label,
                    "split": item.split,
                    "height": height,
                    "width": width,
                    "offset": offset,
                    "digest": total.add(item.name, item.label, item.split, image, mask),
                    "original_height": (item.original or (height, width))[0],
                    "original_width": (item.original or (height, width))[1],
                    "bss": item.bss,
                }
            )
            offset += height * width
        if not rows:
            raise GtaError(f"{name}: no images to store in {folder}")
        if len(masked) > 1:
            raise GtaError(f"{name}: some images have a mask and some have none, or another kind")
    (kind,) = masked
    if kind is None:
        (folder / "masks.bin").unlink()
    with atomic_write(folder / "index.parquet") as hidden:
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), hidden)
    about = {
        "format": STORE_FORMAT,
        "name": name,
        "classes": list(classes),
        "masks": kind,
        "images": len(rows),
        "digest": total.hexdigest(),
        "notes": dict(notes or {}),
    }
    write_text(folder / "store.json", json.dumps(about, indent=1) + "\n")
    return Store(folder)


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / "store.json"
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GtaError(f"{path}: missing; `gta data prepare` makes it") from None
    except (OSError, ValueError) as error:
        raise _broken(folder, f"store.json: {error}") from None
    if not isinstance(about, dict) or about.get("format") != STORE_FORMAT:
        raise _broken(folder, f"store.json: is not of format {STORE_FORMAT}, this version's")
    return about


def _check(item: Item, classes: int) -> None:
    pixels, mask = item.pixels, item.mask
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise GtaError(
            f"{item.name}: pixels are {pixels.dtype} {pixels.shape}, not uint8 (height, width, 3)"
        )
    if mask is not None and (_kind(item) is None or mask.shape != pixels.shape[:2]):
        raise GtaError(
            f"{item.name}: the mask is {mask.dtype} {mask.shape}, "
            f"not bool or uint8 {pixels.shape[:2]}"
        )
    if not 0 <= item.label < classes:
        raise GtaError(f"{item.name}: label {item.label} is none of {classes} classes")
    if item.split not in SPLITS:
        raise GtaError(f"{item.name}: split {item.split!r} is none of {', '.join(SPLITS)}")


def _kind(item: Item) -> str | None:
    if item.mask is None:
        return None
    return {np.dtype(np.bool_): "object", np.dtype(np.uint8): "classes"}.get(item.mask.dtype)


def _map(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise _broken(path.parent, f"{path.name}: {error}") from None
    if mapped.size != size:
        raise _broken(path.parent, f"{path.name} has {mapped.size} bytes in place of {size}")
    return mapped


def _broken(folder: Path, why: str) -> GtaError:
    said = " ".join(why.split())  # other libraries' messages may have several lines
    return GtaError(f"{folder}: damaged store ({said}); delete the folder and prepare it again")
