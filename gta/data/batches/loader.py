"""Batches of images, made by threads, ahead of the step that needs them.

A training batch is a function of (seed, iteration) alone, a test batch of its images: which thread
makes it, and when, changes no number. Threads are enough, because NumPy, torch and Pillow release
Python's lock while they work on pixels. For a GPU, batches travel as bytes, on a stream of their
own, and are normalised there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.batches.device_randaugment import Program
from gta.data.batches.poison import Poison
from gta.data.batches.sampler import BatchStream
from gta.data.batches.transfer import Sent, Transfer, in_chunks, settling
from gta.data.store import Store

CHUNK = 8  # images that a thread takes at a time
AHEAD = 2  # batches made before a GPU needs them
_CPU = torch.device("cpu")


def loader_workers(device: torch.device) -> tuple[int, int]:
    """Number of threads that make images, and of batches made ahead, for training on ``device``.

    A GPU's step leaves the cores free for the next batches; a CPU's step needs them itself.
    """
    return torch.get_num_threads(), 0 if device.type == "cpu" else AHEAD


class Loader:
    """The batches of one run, or of several that share them.

    Attributes:
        waited: seconds spent in ``batch``: the time that a step waited for its images.
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
        as_bytes: bool | None = None,
        repeats: int = 1,
        poison: Poison | None = None,
    ) -> None:
        """Set up; nothing is made before the first batch is asked for.

        Args:
            store: the images.
            positions: the training images.
            augmenter: makes the views; its seed also orders the images.
            batch_size: images in a batch.
            threads: that augment.
            ahead: how many of the next batches they begin while a batch is in use. 0 where the
                step needs the cores itself: then the caller waits for each batch.
            device: where batches are wanted.
            as_bytes: whether batches are normalised there; default for a GPU.
            repeats: how often each image stands in a batch, augmented anew each time.
            poison: pastes a trigger on some images; None leaves all as they are.
        """
        self.waited = 0.0
        self._store, self._positions, self._augmenter = store, positions, augmenter
        self._poison = poison
        self._stream = BatchStream(len(positions), batch_size, augmenter.seed, repeats)
        self._ahead, self._transfer = ahead, Transfer(device)
        self._as_bytes = self._transfer.pinned if as_bytes is None else as_bytes
        self._begun: dict[int, Future[_Made]] = {}
        threaded = threads > 1 or ahead > 0 or self._transfer.pinned
        self._pool = ThreadPoolExecutor(threads, "augment") if threaded else None

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, side, side) float32, augmented, and labels (B,) int64, on the device.

        Raises:
            GtaError: as ``Augmenter.draw``.
        """
        begin = time.perf_counter()
        made = self._made(iteration)
        images, labels, *tensors = made.sent.take()
        program = None if made.program is None else Program(made.program.groups, *tensors)
        images = self._augmenter.finish(images, program)
        if self._poison is not None:
            self._poison.apply(images, labels, self._positions[self._stream.batch(iteration)])
        self.waited += time.perf_counter() - begin
        return images, labels

    def close(self) -> None:
        """Drop the batches in progress and end the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made(self, iteration: int) -> _Made:
        """The batch of an iteration, the next ones begun."""
        wanted = range(iteration, iteration + self._ahead + 1)
        for other in self._begun.keys() - set(wanted):  # the caller has gone elsewhere
            self._begun.pop(other).cancel()
        for one in wanted:
            if one not in self._begun:
                self._begun[one] = self._begin(one)
        return self._begun.pop(iteration).result()

    def _begin(self, iteration: int) -> Future[_Made]:
        done: Future[_Made] = Future()
        positions = self._positions[self._stream.batch(iteration)]
        if self._pool is None:
            self._make(positions, iteration, done)
        else:
            self._pool.submit(self._make, positions, iteration, done)
        return done

    def _make(self, positions: NDArray[np.int64], iteration: int, done: Future[_Made]) -> None:
        """Draw for a batch, and share its pixels out."""
        if not done.set_running_or_notify_cancel():
            return
        with settling(done):
            images = self._store.images(positions)
            views = self._augmenter.draw(images, iteration)
            program = self._augmenter.program(views)
            batch = self._augmenter.empty(len(images), self._as_bytes, self._transfer.pinned)
            labels = torch.from_numpy(self._store.labels[positions]).long()
            pixels = batch.numpy()

            def write(part: slice) -> None:
                for image, view, out in zip(images[part], views[part], pixels[part], strict=True):
                    self._augmenter.write(image, view, out)

            def send() -> _Made:
                tensors = () if program is None else (program.rows, program.values)
                return _Made(self._transfer.send((batch, labels, *tensors)), program)

            if self._pool is None:
                write(slice(None))
                done.set_result(send())
            else:
                in_chunks(self._pool, _chunks(len(images)), write, send, done)


class _Made(NamedTuple):
    """A batch that is written and sent: its images, labels, and tensors of the program."""

    sent: Sent
    program: Program | None


def evaluation_batches(
    store: Store,
    positions: NDArray[np.int64],
    evaluator: Evaluator,
    size: int,
    threads: int = 1,
    ahead: int = 0,
    device: torch.device = _CPU,
    as_bytes: bool | None = None,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Views of images in order, ``size`` at a time.

    Args:
        store: the images.
        positions: which.
        evaluator: makes their views.
        size: images in a batch; the last may be smaller.
        threads: that make the views.
        ahead: how many of the next batches are begun while one is in use.
        device: where batches are wanted.
        as_bytes: whether batches are normalised there; default for a GPU.

    Yields:
        Positions (b,), and images (b, 3, side, side) float32 on the device.
    """
    batches = (positions[at : at + size] for at in range(0, len(positions), size))
    transfer = Transfer(device)
    as_bytes = transfer.pinned if as_bytes is None else as_bytes
    pool = ThreadPoolExecutor(threads, "view") if threads > 1 or ahead else None
    begun: deque[tuple[NDArray[np.int64], Future[Sent]]] = deque()

    def begin(batch: NDArray[np.int64]) -> Future[Sent]:
        images, done = store.images(batch), Future[Sent]()
        views = evaluator.empty(len(images), as_bytes, transfer.pinned)
        pixels = views.numpy()

        def write(part: slice) -> None:
            for image, out in zip(images[part], pixels[part], strict=True):
                evaluator.write(image, out)

        if pool is None:
            write(slice(None))
            done.set_result(transfer.send([views]))
        else:
            in_chunks(pool, _chunks(len(images)), write, lambda: transfer.send([views]), done)
        return done

    def taken() -> tuple[NDArray[np.int64], Tensor]:
        batch, done = begun.popleft()
        (views,) = done.result().take()
        return batch, evaluator.finish(views)

    try:
        for batch in batches:
            begun.append((batch, begin(batch)))
            if len(begun) > ahead:
                yield taken()
        while begun:
            yield taken()
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _chunks(images: int) -> list[slice]:
    return [slice(at, min(at + CHUNK, images)) for at in range(0, images, CHUNK)]
