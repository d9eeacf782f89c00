"""What a measurement gives, and timing two ways of doing the same in turn."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal


class SkippedError(Exception):
    """What a measurement needs is not there; the message says what."""


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        name: unique.
        what: is measured, in words.
        values: one a repeat.
        goal: to be reached, None where the figure only informs.
        better: which way.
        unit: of the values, empty for a ratio.
        detail: what the ratio was made of.
    """

    name: str
    what: str
    values: tuple[float, ...]
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"
    unit: str = ""
    detail: str = ""

    @property
    def median(self) -> float:
        """The figure."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """Largest less smallest value; 0 where there is one only."""
        return max(self.values) - min(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is, None where there is none."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.better == "lower" else self.median >= self.goal


Clock = Callable[[], float]


def seconds(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """How long ``work`` takes."""
    begin = clock()
    work()
    return clock() - begin


def processes_cpu() -> float:
    """CPU seconds of all child processes so far, which other programs' load changes little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turn(
    first: Callable[[], object],
    second: Callable[[], object],
    repeats: int,
    clock: Clock = time.perf_counter,
    warm: bool = True,
) -> list[tuple[float, float]]:
    """Seconds of both, pair by pair, so that a change of the machine's speed meets both.

    Args:
        first: one way.
        second: the other.
        repeats: pairs.
        clock: ``time.process_time`` for what keeps one core busy: other programs then count less.
        warm: whether each is done once before, uncounted.
    """
    if warm:
        first()
        second()
    return [(seconds(first, clock), seconds(second, clock)) for _ in range(repeats)]
