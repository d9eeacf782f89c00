"""Two studies side by side: cells, differences with intervals, and what their recipes differ in."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gta.errors import GtaError
from gta.interface import StudyResults
from gta.interface.study_results import Rule
from gta.study.run import CELL, POINT
from gta.tables.anova import two_way
from gta.tables.other_study import differing_keys


def compare(one: StudyResults, other: StudyResults, rule: Rule = "heldout") -> pd.DataFrame:
    """The cells that two studies share, each at its own chosen λ.

    Where both have the same seeds and predictions on the same test images, the interval is of
    paired differences (``gta.tables.anova.two_way``); elsewhere there is none.

    Args:
        one: the study that the other is compared with.
        other: the other.
        rule: how λ is chosen.

    Returns:
        A row a cell: its fields, ``lam_a``, ``tuned_a``, ``lam_b``, ``tuned_b``, ``acc1_a``,
        ``acc1_b`` (mean test accuracy, percent), ``difference`` (b less a, points), ``low``,
        ``high`` (95 %).

    Raises:
        GtaError: if the studies share no cell that both have done.
    """
    columns = [*CELL, *POINT, "acc1_mean"]
    a, b = (study.best(rule)[columns].dropna() for study in (one, other))
    both = a.merge(b, on=CELL, suffixes=("_a", "_b"))
    if both.empty:
        raise GtaError(
            f"{one.name} and {other.name} share no cell (dataset, source, method, mix, rate) that "
            "both have done"
        )
    both = both.rename(columns={"acc1_mean_a": "acc1_a", "acc1_mean_b": "acc1_b"})
    both["difference"] = both["acc1_b"] - both["acc1_a"]
    ends = [_interval(one, other, cell) for cell in both.to_dict("records")]
    both["low"], both["high"] = zip(*ends, strict=True)
    points = [f"{part}_{study}" for study in "ab" for part in POINT]
    order = [*CELL, *points, "acc1_a", "acc1_b", "difference", "low", "high"]
    return both[order].sort_values(CELL, ignore_index=True)


def _interval(
    one: StudyResults, other: StudyResults, cell: Mapping[Any, Any]
) -> tuple[float, float]:
    where = {field: cell[field] for field in CELL}
    first = _right(one, lam=cell["lam_a"], tuned=cell["tuned_a"], **where)
    second = _right(other, lam=cell["lam_b"], tuned=cell["tuned_b"], **where)
    if first is None or second is None or first[0] != second[0]:
        return nan, nan
    differences = second[1].astype(np.int8) - first[1].astype(np.int8)
    if min(differences.shape) < 2:
        return nan, nan
    found = two_way(differences[None])
    return 100 * float(found.low[0]), 100 * float(found.high[0])


def _right(
    study: StudyResults, **where: Any
) -> tuple[tuple[list[int], list[tuple[int, ...]]], NDArray[np.bool_]] | None:
    """Seeds and test images (index, label), and (seeds, images): which were right."""
    try:
        frame = study.predictions("test", **where)
    except GtaError:  # the predictions of a run are not there
        return None
    frame = frame.assign(right=frame["label"] == frame["prediction"])
    wide = frame.pivot_table(index="seed", columns=["index", "label"], values="right")
    if wide.isna().to_numpy().any():
        return None
    images = [tuple(map(int, pair)) for pair in wide.columns.to_flat_index()]
    return (wide.index.tolist(), images), wide.to_numpy() > 0.5


def recipe_differences(one: StudyResults, other: StudyResults) -> list[tuple[str, Any, Any]]:
    """Keys of the configs that decide numbers and differ: key, first value, second value."""
    return differing_keys(one.config, other.config)
