"""The gain of one method over another, cell by cell, with its interval."""

from __future__ import annotations

import pandas as pd

from gta.study import Run, Study
from gta.study.run import CELL
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
        A row for each place that both have: ``PLACE``, ``lam``, ``lam_over``, ``seeds``,
        ``images``, ``gain``, ``low``, ``high`` (points of top-1 accuracy, 95 %).
    """
    cell = [*PLACE, "method", "lam"]
    both = ours[cell].merge(theirs[cell], on=PLACE, suffixes=("", "_over"))
    seeds = study.config.seeds
    columns = ["dataset", "rate", "source", "mix", "method", "lam", "method_over", "lam_over"]
    pairs = [
        Pair(
            tuple(Run(dataset, rate, source, method, mix, lam, seed) for seed in seeds),
            tuple(Run(dataset, rate, source, over, mix, lam_over, seed) for seed in seeds),
        )
        for dataset, rate, source, mix, method, lam, over, lam_over in both[columns].itertuples(
            index=False, name=None
        )
    ]
    measured = measure_pairs(study, pairs, read_intervals(study)).to_pandas()
    found = ["seeds", "images", "gain", "low", "high"]
    return both[[*PLACE, "lam", "lam_over"]].merge(
        measured[[*PLACE, "lam", *found]], on=[*PLACE, "lam"]
    )
