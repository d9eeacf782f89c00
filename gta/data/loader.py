"""Batches of images, made by threads and ahead of the step that needs them.

A training batch is a function of (seed, iteration) alone, a test batch of its images: who makes
it, and when, changes no number.
Threads suffice, for Python lets others run while NumPy, torch and Pillow work on pixels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gta.data.augment import Augmenter, Evaluator, Pixels, View
from gta.data.sampler import BatchStream
from gta.data.store import Store

CHUNK = 8  # images that a thread takes at a time
AHEAD = 2  # batches that a GPU's next steps find made
_CPU = torch.device("cpu")


def hands(device: torch.device) -> tuple[int, int]:
    """How many threads make images, and how many batches ahead, where ``device`` trains.

    A GPU's step leaves the cores free for the next batches; a CPU's needs them itself.
    """
    return torch.get_num_threads(), 0 if device.type == "cpu" else AHEAD


class Loader:
    """The batches of one run, or of several that see the same.

    Attributes:
        waited: seconds that were spent in ``batch``: a step waited for its images.
    """

    def __init__(
        self,
        store: Store,
        positions: NDArray[np.int64],
        augmenter: Augmenter,
        batch_size: int,
        threads: int = 1,
        ahead: int = 0,
        device: torch.device = _CPU,
    ) -> None:
        """Set up; nothing is made before the first batch is asked for.

        Args:
            store: the images.
            positions: which of them are trained on.
            augmenter: how; its seed orders the images too.
            batch_size: images in a batch.
            threads: that augment.
            ahead: how many of the next batches they begin while a batch is in use. 0 where the
                step needs the cores itself: then the caller waits for each batch.
            device: where batches are wanted. A GPU copies them while it computes.
        """
        self.waited = 0.0
        self._store, self._positions, self._augmenter = store, positions, augmenter
        self._stream = BatchStream(len(positions), batch_size, augmenter.seed)
        self._ahead, self._device = ahead, device
        self._pinned = device.type == "cuda"
        self._begun: dict[int, Future[_Begun]] = {}
        threaded = threads > 1 or ahead > 0 or self._pinned
        self._pool = ThreadPoolExecutor(threads, "augment") if threaded else None

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, side, side) float32, augmented, and labels (B,) int64, on the device.

        Raises:
            GtaError: as ``Augmenter.draw``.
        """
        begin = time.perf_counter()
        if self._pool is None:
            positions = self._positions[self._stream.batch(iteration)]
            images = self._augmenter(self._store.images(positions), iteration)
            images = images.to(self._device)
        else:
            begun = self._await(iteration, self._pool)
            positions = begun.positions
            images = begun.batch.to(self._device, non_blocking=True)
            images = self._augmenter.finish(images, begun.views)
        labels = torch.from_numpy(self._store.labels[positions]).long()
        self.waited += time.perf_counter() - begin
        return images, labels.to(self._device, non_blocking=True)

    def close(self) -> None:
        """Give up what was begun, and end the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await(self, iteration: int, pool: ThreadPoolExecutor) -> _Begun:
        wanted = range(iteration, iteration + self._ahead + 1)
        for other in self._begun.keys() - set(wanted):  # the caller has gone elsewhere
            self._begun.pop(other).cancel()
        for one in wanted:
            if one not in self._begun:
                positions = self._positions[self._stream.batch(one)]
                self._begun[one] = pool.submit(self._begin, pool, positions, one)
        begun = self._begun.pop(iteration).result()
        for part in begun.parts:
            part.result()
        return begun

    def _begin(
        self, pool: ThreadPoolExecutor, positions: NDArray[np.int64], iteration: int
    ) -> _Begun:
        """Draw for a batch, in one thread, and share its pixels out; no thread waits for others."""
        images = self._store.images(positions)
        views = self._augmenter.draw(images, iteration)
        batch = self._augmenter.empty(len(images), self._pinned)
        pixels = batch.numpy()
        parts = [
            pool.submit(self._write, images[part], views[part], pixels[part])
            for part in (slice(at, at + CHUNK) for at in range(0, len(images), CHUNK))
        ]
        return _Begun(positions, views, batch, parts)

    def _write(self, images: list[Pixels], views: list[View], batch: NDArray[Any]) -> None:
        for image, view, out in zip(images, views, batch, strict=True):
            self._augmenter.write(image, view, out)


class _Begun(NamedTuple):
    """A batch that threads work at."""

    positions: NDArray[np.int64]
    views: list[View]
    batch: Tensor
    parts: list[Future[None]]


def evaluation_batches(
    store: Store,
    positions: NDArray[np.int64],
    evaluator: Evaluator,
    size: int,
    threads: int = 1,
    ahead: int = 0,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Views of images in their order, ``size`` at a time.

    Args:
        store: the images.
        positions: which.
        evaluator: their view.
        size: images in a batch; the last may be smaller.
        threads: that make them.
        ahead: how many of the next batches are begun while one is in use.

    Yields:
        Positions (b,), and images (b, 3, side, side) float32.
    """
    batches = (positions[at : at + size] for at in range(0, len(positions), size))
    if threads == 1 and not ahead:
        yield from ((batch, evaluator(store.images(batch))) for batch in batches)
        return
    pool = ThreadPoolExecutor(threads, "view")
    begun: deque[tuple[NDArray[np.int64], list[Future[Tensor]]]] = deque()

    def taken() -> tuple[NDArray[np.int64], Tensor]:
        batch, parts = begun.popleft()
        return batch, torch.cat([part.result() for part in parts])

    try:
        for batch in batches:
            images = store.images(batch)
            chunks = (images[at : at + CHUNK] for at in range(0, len(images), CHUNK))
            begun.append((batch, [pool.submit(evaluator, chunk) for chunk in chunks]))
            if len(begun) > ahead:
                yield taken()
        while begun:
            yield taken()
    finally:
        pool.shutdown(cancel_futures=True)
