"""Frame shared by tables of tests of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gta.study import Run
from gta.study.run import CELL, IDENTITY, POINT, identity_of

if TYPE_CHECKING:
    import pandas as pd

    from gta.results import State
    from gta.study import Study
    from gta.tables.collected import Collected


def frame_of_tests(
    study: Study,
    name: str,
    collected: Collected,
    runs: pd.DataFrame,
    measures: Sequence[str],
    untested: State,
) -> pd.DataFrame:
    """A row for each selection and cell: means and deviations (ddof 1) over seeds.

    Args:
        study: the study.
        name: of the table.
        collected: what the runs have left.
        runs: a row for each run that was tested, with its identity and the measures.
        measures: columns to average.
        untested: what is said of a run that was not tested.

    Returns:
        Cells in order with ``n``, each measure and its ``_std``, and what is missing.
    """
    from gta.tables.missing import describe
    from gta.tables.order import cells_of, in_order

    cells = cells_of(study, name).merge(collected.selected, on=CELL, how="left")
    how = {"n": ("seed", "size")}
    for measure in measures:
        how |= {measure: (measure, "mean"), f"{measure}_std": (measure, "std")}
    means = runs.groupby([*CELL, *POINT]).agg(**how).reset_index()
    table = cells.drop(columns="n").merge(means, on=[*CELL, *POINT], how="left")
    table = table.fillna({"n": 0}).astype({"n": int})
    there = set(runs[IDENTITY].itertuples(index=False, name=None))
    for row in table[table["missing"] == ""].itertuples():
        about = {field: getattr(row, field) for field in IDENTITY if field != "seed"}
        wanted = [Run(**about, seed=seed) for seed in study.config.seeds]
        absent = [run for run in wanted if identity_of(run) not in there]
        text = describe(study, absent, dict.fromkeys(absent, untested))
        table.loc[row.Index, "missing"] = text
    numbers = [f"{measure}{part}" for measure in measures for part in ("", "_std")]
    table[numbers] = table[numbers].where(table["missing"] == "")
    columns = ["table", "selection", *CELL, *POINT, "n", *numbers, "chosen_at", "missing"]
    return in_order(study, name, table.assign(table=name))[columns]
