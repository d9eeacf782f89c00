"""The choice of lambda on few seeds, from the runs on these, for a study with ``tune``."""

from __future__ import annotations

from collections import defaultdict

from gta import results
from gta.errors import GtaError
from gta.results.origins import origins_of
from gta.study import Study
from gta.study.commands import command
from gta.study.expand import Cell
from gta.study.points import Point
from gta.study.run import CELL, POINT
from gta.tables.selection import choices


def choose(study: Study) -> dict[Cell, dict[str, Point]]:
    """Choose lambda by both rules for each cell that has several, on the seeds of ``tune``.

    Args:
        study: the study.

    Returns:
        The point by rule (``test``, ``heldout``) for each cell. Where no rate leaves held-out
        images, a cell has no ``heldout``.

    Raises:
        GtaError: the study has no ``tune``, or a run that the choice rests on is not done.
    """
    tuning = study.tuning
    if tuning is None:
        raise GtaError(f"study {study.name} has no `tune`: λ is chosen on all of its seeds")
    table, missing = results.collect_metrics(study, origins_of(study), tuning.deciding)
    if missing:
        run, state = next(iter(missing.items()))
        raise GtaError(
            f"{len(missing):,} of {len(tuning.deciding):,} runs that λ is chosen by are not done, "
            f"the first: {run.name} ({state.reason or state.state})",
            remedy=f"run `snakemake`, or `{command(study, 'train', run.name)}`",
        )
    found: dict[Cell, dict[str, Point]] = defaultdict(dict)
    chosen = choices(study, table.to_pandas())
    for selection, *cell, lam, tuned in chosen[["selection", *CELL, *POINT]].itertuples(
        index=False, name=None
    ):
        if tuple(cell) in tuning.cells and lam == lam:  # not NaN
            found[tuple(cell)][selection] = Point(lam, tuned)
    return dict(found)
