"""Training curves, thinned for a page: a run's history in at most a hundred points."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

POINTS = 100
FEWEST = 10
MOST = 250_000  # points of all runs of a page: a few megabytes, compressed


def points_for(runs: int) -> int:
    """Most points of a curve on the page, for a number of runs."""
    return max(FEWEST, min(POINTS, MOST // max(runs, 1)))


def thin(history: pa.Table, points: int) -> dict[str, list[Any]]:
    """Thin a run's history.

    Loss terms and training accuracy, which are of single batches and noisy, are means over equal
    shares of the iterations; the learning rate is that of a share's last iteration; held-out
    accuracy keeps its own, fewer iterations, evenly spaced where they are more than ``points``.

    Args:
        history: of the schema ``gta.results.HISTORY``, a row an iteration.
        points: at most this many.

    Returns:
        ``iteration``, ``cross_entropy``, ``penalty``, ``train_acc1`` and ``lr``, and
        ``heldout_iteration`` and ``heldout_acc1``: lists of numbers of four digits, None where
        not finite. Empty lists leave out what was not there: a penalty that is always zero,
        held-out accuracy that was never measured.
    """
    columns = {name: history[name].to_numpy().astype(float) for name in history.column_names}
    rows = history.num_rows
    shares = min(points, rows)
    edges = np.linspace(0, rows, shares + 1).round().astype(int)
    last = edges[1:] - 1
    found = {name: columns[name][last] for name in ("iteration", "lr")}
    for name in ("cross_entropy", "penalty", "train_acc1"):
        found[name] = _means(columns[name], edges)
    if not columns["penalty"].any():
        found["penalty"] = np.empty(0)
    measured = np.flatnonzero(~np.isnan(columns["heldout_acc1"]))
    if len(measured) > points:
        measured = measured[np.linspace(0, len(measured) - 1, points).round().astype(int)]
    found["heldout_iteration"] = columns["iteration"][measured]
    found["heldout_acc1"] = columns["heldout_acc1"][measured]
    return {name: _short(values) for name, values in found.items()}


def _means(values: NDArray[np.float64], edges: NDArray[np.integer]) -> NDArray[np.float64]:
    if len(edges) == 1:
        return np.empty(0)
    means: NDArray[np.float64] = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return means


def _short(values: Iterable[float]) -> list[float | int | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | int | None:
    if not isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e9:  # iterations above all
        return int(value)
    return float(f"{value:.4g}")
