"""The prepared form of a dataset: pixels in one memory-mapped file, an index beside it.

A store is a folder:

- ``pixels.bin``: the images one after another, each (height, width, 3) uint8;
- ``masks.bin``: only in datasets with masks, each (height, width) uint8; the mask of an image
  without one is ``VOID`` throughout;
- ``index.parquet``: one row per image, of the schema ``INDEX``;
- ``store.json``: format, name, classes, digest; written last, so its presence marks a complete
  store;
- ``verified.json``: sizes and times of the other files when they last matched the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
FILES = ("index.parquet", "pixels.bin", "masks.bin")  # that the digest covers
VERIFIED = "verified.json"

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
    """One image to be written into a store.

    Attributes:
        name: of the image, unique in the dataset.
        label: class index.
        split: ``train``, ``test`` or ``heldout``.
        pixels: (height, width, 3) uint8, RGB.
        mask: (height, width) or None. bool: True on the object. uint8: the class of each pixel
            (0 is background, ``VOID`` none); where some images have such a mask, an image
            without one gets ``VOID`` throughout.
        original: (height, width) before resizing; None if it was not resized.
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
    """A prepared dataset, mapped into memory; images are read from disk when they are used.

    Attributes:
        folder: where it lies.
        name: of the dataset.
        classes: names of the classes, by label.
        digest: of all pixels, masks, labels and splits.
        labels: (images,) int32.
        splits: (images,) of ``train``, ``test`` or ``heldout``.
        masks: ``object``, ``classes``, or None if there are none.
        notes: how it was made.
    """

    def __init__(self, folder: Path, *, verify: bool = False) -> None:
        """Open a store; hash it if size, mtime or ctime of a file changed since it was verified.

        Args:
            folder: of the store.
            verify: hash it in any case.

        Raises:
            GtaError: if it is missing, of another format, shorter than its index says, or its
                content does not match its digest.
        """
        self.folder = folder
        about = read_about(folder)
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
        stamps = _stamps(folder)
        if verify or _verified(folder) != stamps:
            self.verify()
            _record_verified(folder, stamps)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def has_masks(self) -> bool:
        """Whether images have masks, all or some of them."""
        return self._masks is not None

    @property
    def bss(self) -> list[str | None]:
        """(images,) names in the published split lists; None where an image has none."""
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
            GtaError: if the dataset has no masks.
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
            GtaError: if the dataset has no masks.
        """
        if self._masks is None:
            raise GtaError(f"{self.folder}: {self.name} has no object masks")
        height, width = int(self._heights[position]), int(self._widths[position])
        start = int(self._offsets[position])
        return self._masks[start : start + height * width].reshape(height, width)

    def verify(self) -> None:
        """Hash all pixels, masks, labels and splits and compare them with their digests.

        Raises:
            GtaError: if one differs.
        """
        total = _Total(self.name, self.classes)
        columns = ("name", "label", "split", "digest")
        rows = list(zip(*(self._index[column].to_pylist() for column in columns), strict=True))
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # hashlib frees the GIL
            digests = pool.map(self._image_digest, range(len(rows)), chunksize=64)
            for position, (found, row) in enumerate(zip(digests, rows, strict=True)):
                name, label, split, digest = row
                if found.hex() != digest:
                    raise _broken(self.folder, f"image {name} has other pixels than its digest")
                total.add(name, label, split, self.image(position).shape[:2], found)
        if total.hexdigest() != self.digest:
            raise _broken(self.folder, "names, labels or splits do not match its digest")

    def _image_digest(self, position: int) -> bytes:
        mask = self.class_mask(position) if self.has_masks else None
        return _image_digest(self.image(position), mask)


def _image_digest(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> bytes:
    """SHA-256 of an image (height, width, 3) and its mask (height, width)."""
    digest = hashlib.sha256(image.data)
    if mask is not None:
        digest.update(mask.data)
    return digest.digest()


class _Total:
    """The digest of a store: of its name and classes, then of each image in order."""

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        self._sha256 = hashlib.sha256(json.dumps([name, list(classes)]).encode())

    def add(self, name: str, label: int, split: str, shape: Sequence[int], digest: bytes) -> None:
        """Add an image of (height, width) pixels with its own digest."""
        height, width = shape
        self._sha256.update(f"{name}\t{label}\t{split}\t{height}\t{width}".encode())
        self._sha256.update(digest)

    def hexdigest(self) -> str:
        """Digest of all that was added."""
        return self._sha256.hexdigest()


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Size, mtime and ctime of the files that the digest covers."""
    stamps = {}
    for name in FILES:
        try:
            status = (folder / name).stat()
        except FileNotFoundError:
            continue
        stamps[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return stamps


def _verified(folder: Path) -> Any:
    try:
        return json.loads((folder / VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _record_verified(folder: Path, stamps: Mapping[str, list[int]]) -> None:
    if os.access(folder, os.W_OK):  # a read-only store is hashed each time it is opened
        write_text(folder / VERIFIED, json.dumps(stamps) + "\n")


def read_digest(folder: Path) -> str:
    """Digest of a store, without opening the rest of it."""
    digest: str = read_about(folder)["digest"]
    return digest


def write_notes(folder: Path, notes: Mapping[str, Any]) -> None:
    """Replace the notes of a store; its data stay as they are."""
    about = read_about(folder) | {"notes": dict(notes)}
    write_text(folder / "store.json", json.dumps(about, indent=1) + "\n")


def write(
    folder: Path,
    name: str,
    classes: Sequence[str],
    items: Iterable[Item],
    notes: Mapping[str, Any] | None = None,
) -> Store:
    """Write a store, item by item, ``store.json`` last; replace one that exists.

    Args:
        folder: of the store; created if missing.
        name: of the dataset.
        classes: names by label.
        items: the images, at least one; all or none with a mask.
        notes: how it was made, kept in ``store.json``; read after the last item.

    Raises:
        GtaError: if an item is not what ``Item`` says, only some items have masks, there are no
            items, or the disk is full.
    """
    # From here on the store is incomplete, whatever interrupts this.
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
            digest = _image_digest(image, mask)
            total.add(item.name, item.label, item.split, (height, width), digest)
            rows.append(
                {
                    "name": item.name,
                    "label": item.label,
                    "split": item.split,
                    "height": height,
                    "width": width,
                    "offset": offset,
                    "digest": digest.hex(),
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
    _record_verified(folder, _stamps(folder))
    write_text(folder / "store.json", json.dumps(about, indent=1) + "\n")
    return Store(folder)


def read_about(folder: Path) -> dict[str, Any]:
    """Content of ``store.json``.

    Raises:
        GtaError: if it is missing, damaged or of another format.
    """
    path = folder / "store.json"
    for name in ("store.json", *FILES):
        if (folder / name).exists() and not (folder / name).is_file():  # a pipe blocks its reader
            raise _broken(folder, f"{name} is not a regular file")
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
        raise GtaError(f"{item.name}: label {item.label} is not one of the {classes} classes")
    if item.split not in SPLITS:
        raise GtaError(f"{item.name}: split {item.split!r} is not one of {', '.join(SPLITS)}")


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
    what, remedy = f"damaged store ({said})", "delete the folder and prepare it again"
    return GtaError(what, where=folder, remedy=remedy)
