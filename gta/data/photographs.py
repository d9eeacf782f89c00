"""Photographs on their way into a store: decoded on all cores and chunk by chunk.

A preparation that was killed continues where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from gta.data.images import decode, decode_mask, quiet, resize_mask, resize_short_side
from gta.data.readers import Entry, Listing
from gta.data.store import VOID, Item
from gta.errors import GtaError, listed
from gta.files import atomic_write

CHUNK = 128  # images that a killed preparation may decode again, for each core
MOST_NAMED = 20  # damaged images in a message

Progress = Callable[[int, int], None]  # images done, images in all


class Photographs:
    """The images of a listing at the store's size.

    Attributes:
        listing: what to read.
        damaged: names and faults of the images that are left out, after ``decode``.
        kept: the images that are not, after ``decode``.
    """

    def __init__(self, listing: Listing, folder: Path, short_side: int | None) -> None:
        """Set up; ``decode`` does the work.

        Args:
            listing: what to read.
            folder: of the store; chunks are kept in a hidden folder in it until the end.
            short_side: pixels of the shorter side of larger images; None keeps all sizes.
        """
        self.listing = listing
        self.damaged: list[str] = []
        self.kept: list[Entry] = []
        self._short_side = short_side
        self._parts = folder / f".parts-{_fingerprint(listing)}"
        entries = listing.entries
        self._chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]

    def decode(self, progress: Progress | None = None, *, leave_out: bool = False) -> None:
        """Decode what is not decoded yet.

        Threads suffice: Pillow lets other threads run while it decodes and resizes.

        Args:
            progress: called with the images done and the total.
            leave_out: whether damaged images are left out; else they are an error.

        Raises:
            GtaError: naming all damaged images, if they are not to be left out; if the disk is
                full.
        """
        for other in self._parts.parent.glob(".parts-*"):
            if other != self._parts:  # of other files
                shutil.rmtree(other)
        missing = [n for n in range(len(self._chunks)) if not self._part(n).exists()]
        done = sum(len(self._chunks[n]) for n in set(range(len(self._chunks))) - set(missing))
        total = len(self.listing.entries)
        if progress is not None:
            progress(done, total)
        with quiet(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            jobs = {pool.submit(self._decode, n): n for n in missing}
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += len(self._chunks[jobs[job]])
                    if progress is not None:
                        progress(done, total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._sum_up()
        if self.damaged and not leave_out:
            raise GtaError(
                f"{len(self.damaged)} of {total} images cannot be used: "
                f"{listed(self.damaged, MOST_NAMED)}",
                remedy="get them again or remove them, or leave them out by "
                "`images: {damaged: leave_out}` in the config",
            )

    def _sum_up(self) -> None:
        """Collect what is kept and what is damaged; chunks with damaged images may be mended."""
        self.damaged.clear()
        self.kept.clear()
        for number, chunk in enumerate(self._chunks):
            with self._opened(number) as part:
                self.damaged.extend(part["damaged"].tolist())
                self.kept.extend(chunk[position] for position in part["kept"].tolist())

    def items(self) -> Iterator[Item]:
        """The decoded images, in the listing's order.

        Raises:
            GtaError: if a chunk was damaged since.
        """
        for number, chunk in enumerate(self._chunks):
            with self._opened(number) as part:
                for position in part["kept"].tolist():
                    yield _item(chunk[position], part, position)

    @contextmanager
    def _opened(self, number: int) -> Iterator[NpzFile]:
        path = self._part(number)
        try:
            with np.load(path, allow_pickle=False) as part:
                yield part
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            if isinstance(error, GtaError):
                raise
            path.unlink(missing_ok=True)
            raise GtaError(
                f"{path}: damaged ({error})", remedy="prepare the dataset again"
            ) from None

    def discard(self) -> None:
        """Remove the chunks."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self._parts / f"{number:05d}.npz"

    def _decode(self, number: int) -> None:
        arrays: dict[str, np.ndarray] = {}
        kept: list[int] = []
        damaged: list[str] = []
        for position, entry in enumerate(self._chunks[number]):
            try:
                arrays |= self._arrays(entry, position)
            except GtaError as error:
                damaged.append(str(error))
            else:
                kept.append(position)
        with atomic_write(self._part(number)) as hidden:
            arrays["kept"] = np.asarray(kept, dtype=np.int64)
            arrays["damaged"] = np.asarray(damaged, dtype=np.str_)
            np.savez(hidden, allow_pickle=False, **arrays)

    def _arrays(self, entry: Entry, position: int) -> dict[str, np.ndarray]:
        pixels = decode(entry.path, entry.name, crop_bottom=entry.crop_bottom)
        arrays = {f"original{position}": np.asarray(pixels.shape[:2])}
        mask = self._mask(entry, pixels) if self.listing.has_masks else None
        if self._short_side is not None:
            pixels = resize_short_side(pixels, self._short_side)
            mask = None if mask is None else resize_mask(mask, self._short_side)
        arrays[f"pixels{position}"] = pixels
        if mask is not None:
            arrays[f"mask{position}"] = mask
        return arrays

    def _mask(self, entry: Entry, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The ids of an image's mask, (height, width); all void if the image has none."""
        if entry.mask is None:
            return np.full(pixels.shape[:2], VOID, dtype=np.uint8)
        name = f"mask of {entry.name}"
        mask = decode_mask(entry.mask, name)
        if mask.shape != pixels.shape[:2]:
            raise GtaError(
                f"{name}: {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"the image has {pixels.shape[1]} x {pixels.shape[0]}"
            )
        ids = self.listing.mask_ids
        return mask if ids is None else ids.translate(mask, name)


def _item(entry: Entry, part: NpzFile, position: int) -> Item:
    height, width = part[f"original{position}"].tolist()
    return Item(
        name=entry.name,
        label=entry.label,
        split=entry.split,
        pixels=part[f"pixels{position}"],
        mask=part.get(f"mask{position}"),
        original=(height, width),
        bss=entry.bss,
    )


def _fingerprint(listing: Listing) -> str:
    """Digest of the files' names, sizes and times: files that changed are decoded again."""
    digest = hashlib.sha256()
    for entry in listing.entries:
        for path in (entry.path, entry.mask):
            if path is not None:
                found = path.stat()
                digest.update(f"{path}\t{found.st_size}\t{found.st_mtime_ns}\n".encode())
        digest.update(f"{entry.name}\t{entry.crop_bottom}\n".encode())
    digest.update(f"{listing.mask_ids}\n".encode() if listing.mask_ids else b"")
    return digest.hexdigest()[:12]
