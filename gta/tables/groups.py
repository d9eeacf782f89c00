"""Groups of cells that cannot be told from a column's best: all pairs, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import isnan
from typing import Any

import pandas as pd

from gta.study.run import CELL, POINT
from gta.tables.anova import LEVEL, holm
from gta.tables.intervals import OTHER, SAME


def best_group(
    table: pd.DataFrame, intervals: pd.DataFrame, column: Sequence[str]
) -> pd.Series[bool]:
    """Whether each cell is the best of its column or cannot be told from it.

    Every pair of cells of a column is compared on the same test images and seeds (see
    ``gta.tables.anova.two_way``); the p-values of a column are one family.

    Args:
        table: selection, the cell, lam, acc1_mean.
        intervals: of the schema ``gta.tables.INTERVALS``.
        column: fields that the cells of a column share.

    Returns:
        By the table's index; NA in columns of one cell, of several datasets or rates, with a hole,
        or with a pair that has no interval of these runs.
    """
    left = [*CELL, *POINT]
    right = ["dataset", *OTHER[:3], "rate", *OTHER[3:]]
    size = len(left)
    known: dict[tuple[Any, ...], tuple[float, float]] = {}
    for row in intervals[[*left, *right, "gain", "p"]].itertuples(index=False, name=None):
        one, other, (gain, p) = row[:size], row[size : 2 * size], row[2 * size :]
        known[one, other] = gain, p
        known[other, one] = -gain, p
    found = pd.Series(pd.NA, index=table.index, dtype="boolean")
    keys = list(table[left].itertuples(index=False, name=None))
    means = table["acc1_mean"].tolist()
    columns: dict[int, list[int]] = {}
    numbers = table.groupby(list(column), sort=False, dropna=False).ngroup()
    for position, number in enumerate(numbers):
        columns.setdefault(number, []).append(position)
    for rows in columns.values():
        members = _members([keys[row] for row in rows], [means[row] for row in rows], known)
        if members is not None:
            found.iloc[rows] = members
    return found


def _members(
    keys: Sequence[tuple[Any, ...]],
    means: Sequence[float],
    known: dict[tuple[Any, ...], tuple[float, float]],
) -> list[bool] | None:
    """For each cell of a column whether it is in the best's group; None where that is unknown."""
    if len(keys) < 2 or any(map(isnan, means)):
        return None
    pairs = list(combinations(range(len(keys)), 2))
    values = []
    for one, other in pairs:
        gain, p = known.get((keys[one], keys[other]), (float("nan"), float("nan")))
        if not (abs(gain - (means[one] - means[other])) < SAME and p == p):
            return None
        values.append(p)
    best = means.index(max(means))
    apart = {frozenset(pair) for pair, p in zip(pairs, holm(values), strict=True) if p < 1 - LEVEL}
    return [frozenset((place, best)) not in apart for place in range(len(keys))]
