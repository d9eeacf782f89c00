"""A run's history, whose numbers are fetched one step late so that no step waits for the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gta.errors import GtaError
from gta.train.loss import check_finite

SKIPPED_SHARE = 0.05  # of a run's iterations that float16 may skip for overflowing gradients
SKIPPED_AT_LEAST = 32  # skips that any run may have: the loss scale falls from 2^16 to 2^-16


class Scalars(NamedTuple):
    """Results of an iteration, as tensors on the device.

    Attributes:
        terms: of the loss, by name.
        accuracy: share of the batch that is classified as labelled.
        skipped: whether float16 overflowed, so that the weights stayed; None in other precisions.
    """

    terms: Mapping[str, Tensor]
    accuracy: Tensor
    skipped: Tensor | None


class _Pending(NamedTuple):
    """An iteration's numbers on their way to the host."""

    iteration: int
    lr: float
    names: tuple[str, ...]
    values: Tensor
    arrived: torch.cuda.Event | None
    half: bool


class History:
    """One row per iteration: learning rate, loss terms, accuracy, and whether it was skipped."""

    def __init__(self, iterations: int, rows: Sequence[dict[str, Any]] = ()) -> None:
        """Start with ``rows``, those of the iterations done before.

        Args:
            iterations: of the whole run.
            rows: as ``rows`` gives them.
        """
        self._most = max(SKIPPED_AT_LEAST, int(SKIPPED_SHARE * iterations))
        self._rows = [dict(row) for row in rows]
        self._pending: _Pending | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows; waits for the last iteration's numbers.

        Raises:
            GtaError: as ``settle``.
        """
        self.settle()
        return self._rows

    @property
    def last(self) -> dict[str, Any] | None:
        """The last row that has arrived, without waiting; None before the first."""
        return self._rows[-1] if self._rows else None

    @property
    def skipped(self) -> int:
        """Iterations that float16 skipped so far."""
        return sum(bool(row["skipped"]) for row in self._rows)

    def note(self, iteration: int, lr: float, scalars: Scalars) -> None:
        """Take down an iteration; its row follows with the next call, or with ``settle``.

        Raises:
            GtaError: as ``settle``, for the iteration before.
        """
        self.settle()
        numbers = [*scalars.terms.values(), scalars.accuracy]
        if scalars.skipped is not None:
            numbers.append(scalars.skipped)
        values = torch.stack([number.detach().float() for number in numbers])
        arrived = None
        if values.is_cuda:
            host = torch.empty(values.shape, pin_memory=True)
            values, arrived = host.copy_(values, non_blocking=True), torch.cuda.Event()
            arrived.record()
        half = scalars.skipped is not None
        names = tuple(scalars.terms)
        self._pending = _Pending(iteration, lr, names, values, arrived, half)

    def settle(self) -> None:
        """Write the row of the iteration noted last.

        Raises:
            GtaError: its loss is not finite, or float16 has skipped too many iterations.
        """
        pending = self._pending
        if pending is None:
            return
        if pending.arrived is not None:
            pending.arrived.synchronize()
        numbers = pending.values.tolist()
        terms = dict(zip(pending.names, numbers, strict=False))
        check_finite(terms, pending.iteration)
        self._pending = None
        cross_entropy = terms.pop("cross_entropy")
        self._rows.append(
            {
                "iteration": pending.iteration,
                "lr": pending.lr,
                "cross_entropy": cross_entropy,
                "penalty": sum(terms.values()),
                "train_acc1": 100 * numbers[len(pending.names)],
                "heldout_acc1": None,
                "heldout_attention_mass": None,
                "skipped": bool(numbers[-1]) if pending.half else None,
            }
        )
        if pending.half and self.skipped > self._most:
            raise GtaError(
                f"float16 overflowed in {self.skipped} of {pending.iteration + 1} iterations, "
                "which changed nothing; set recipe.precision to bfloat16 or float32, or lower "
                "the penalty's lambda"
            )
