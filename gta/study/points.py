"""The points of a method: the values that a study tries of lambda and of what it tunes beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

LR = "lr"


class Point(NamedTuple):
    """A place in a method's grid.

    Attributes:
        lam: weight of the penalty; 0 without one.
        tuned: values of what else is tuned, as ``spatial_entropy=0.01:lr=0.001``; else empty.
    """

    lam: float
    tuned: str = ""


def points_of(lambdas: Sequence[float], beside: Mapping[str, Sequence[float]]) -> Iterator[Point]:
    """The product of the lambdas and the grids of what is tuned beside them.

    Args:
        lambdas: of the penalty, or of a combination's first.
        beside: grids by name: the lambdas of further penalties by their method, ``lr``.
    """
    for lam, *values in product(lambdas, *beside.values()):
        parts = zip(beside, values, strict=True)
        yield Point(lam, ":".join(f"{name}={value:g}" for name, value in parts))


def values_of(tuned: str) -> dict[str, float]:
    """The values in ``Point.tuned`` or ``Run.tuned``, by name."""
    pairs = (part.partition("=") for part in tuned.split(":") if part)
    return {name: float(value) for name, _, value in pairs}
