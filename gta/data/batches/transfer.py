"""Copies from host memory to the training device, overlapped with its computations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """Tensors on their way to a device.

    Attributes:
        tensors: where they will be.
        arrival: what the stream that uses them waits for; None where there is nothing to wait for.
    """

    tensors: tuple[Tensor, ...]
    arrival: torch.cuda.Event | None = None

    def take(self) -> tuple[Tensor, ...]:
        """The tensors, for the current stream; the host does not wait."""
        if self.arrival is not None:
            stream = torch.cuda.current_stream(self.tensors[0].device)
            stream.wait_event(self.arrival)
            for tensor in self.tensors:
                tensor.record_stream(stream)  # they were allocated by the stream that copies
        return self.tensors


class Transfer:
    """Copies tensors to a device; to a GPU on a stream of its own, from pinned memory.

    Attributes:
        pinned: whether tensors to be sent should lie in pinned memory.
    """

    def __init__(self, device: torch.device) -> None:
        """Set up for a device."""
        self._device = device
        self.pinned = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self.pinned else None

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        """Begin to copy; any thread may."""
        if self._stream is None:
            return Sent(tuple(tensor.to(self._device) for tensor in tensors))
        with torch.cuda.stream(self._stream):
            pinned = [t if t.is_pinned() else t.pin_memory() for t in tensors]
            there = tuple(t.to(self._device, non_blocking=True) for t in pinned)
            return Sent(there, self._stream.record_event())


def in_chunks(
    pool: ThreadPoolExecutor,
    chunks: Sequence[slice],
    write: Callable[[slice], object],
    finish: Callable[[], T],
    done: Future[T],
) -> None:
    """Share work out to a pool's threads, none of which waits for another.

    Args:
        pool: the threads.
        chunks: the parts of the work.
        write: does one part.
        finish: called by the thread that does the last part, after it.
        done: receives what ``finish`` returns, or the first error.
    """
    left, lock = len(chunks), threading.Lock()

    def work(chunk: slice) -> None:
        nonlocal left
        with settling(done):
            write(chunk)
            with lock:
                left -= 1
                last = left == 0
            if last:
                done.set_result(finish())

    for chunk in chunks:
        pool.submit(work, chunk)


class settling:  # noqa: N801  (reads as a statement)
    """A context whose error becomes that of a future, unless it has one already."""

    def __init__(self, future: Future[T]) -> None:
        """Wrap a future."""
        self._future = future

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is not None:
            with suppress(InvalidStateError):
                self._future.set_exception(error)
        return True
