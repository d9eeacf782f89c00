"""The gain of one method over another, cell by cell, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gta.study import Run, Study
from gta.study.run import CELL, POINT
from gta.tables import read_intervals
from gta.tables.intervals import Pair, measure_pairs

PLACE = [field for field in CELL if field != "method"]


def gain_between(study: Study, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The gain of the cells of one method over those of another in the same place.

    Args:
        study: the study.
        ours: rows of ``gta.tables.select`` of one method and rule.
        theirs: the same of the other method.

    Returns:
        A row for each place that both have: ``PLACE``, ``lam``, ``tuned``, ``lam_over``,
        ``tuned_over``, ``seeds``, ``images``, ``gain``, ``low``, ``high`` (points of top-1
        accuracy, 95 %).
    """
    cell = [*PLACE, "method", *POINT]
    both = ours[cell].merge(theirs[cell], on=PLACE, suffixes=("", "_over"))
    seeds = study.config.seeds
    pairs = [
        Pair(_runs(row, "", seeds), _runs(row, "_over", seeds)) for row in both.to_dict("records")
    ]
    measured = measure_pairs(study, pairs, read_intervals(study)).to_pandas()
    found = ["seeds", "images", "gain", "low", "high"]
    points = [f"{part}{end}" for end in ("", "_over") for part in POINT]
    return both[[*PLACE, *points]].merge(measured[[*PLACE, *POINT, *found]], on=[*PLACE, *POINT])


def _runs(row: Mapping[Any, Any], end: str, seeds: Sequence[int]) -> tuple[Run, ...]:
    """The runs of one side of a row, all seeds."""
    fields = {field: row[field] for field in PLACE}
    fields |= {field: row[f"{field}{end}"] for field in ("method", *POINT)}
    return tuple(Run(**fields, seed=seed) for seed in seeds)
