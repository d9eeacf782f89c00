"""Details of a table cell: runs by lambda and seed, curves, and the command to rerun it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import nan
from typing import Any

import pandas as pd

from gta import results
from gta.errors import GtaError
from gta.files import is_there
from gta.page.curves import points_for, thin
from gta.results import State
from gta.study import Run, Study
from gta.study.commands import command
from gta.study.run import CELL, IDENTITY, POINT, cell_of
from gta.tables import Collected
from gta.tables.layout import title_of
from gta.tables.render import point_text

CellKey = tuple[Any, ...]  # dataset, source, method, mix, rate


def cells_of(study: Study) -> dict[CellKey, list[Run]]:
    """The runs of every cell of a study, in order."""
    cells: dict[CellKey, list[Run]] = defaultdict(list)
    for run in study.runs:
        cells[cell_of(run)].append(run)
    return dict(cells)


def title(study: Study, cell: CellKey) -> str:
    """A cell in words; a mix that is none goes without saying."""
    named = dict(zip(CELL, cell, strict=True))
    shown = [field for field in CELL if (field, named[field]) != ("mix", "none")]
    words = [title_of(study, field, named[field]) for field in shown]
    weighed = study.methods.lam_of(named["method"])
    return " · ".join([*words, *([f"λ: {weighed}"] if weighed else [])])


def key(cell: CellKey) -> str:
    """A cell as a link to it ends: ``cub/ibot/gta/none/15``."""
    return "/".join(f"{value:g}" if isinstance(value, float) else str(value) for value in cell)


def details(
    study: Study, collected: Collected, states: Mapping[Run, State]
) -> list[dict[str, Any]]:
    """Details of every cell, in the order of ``cells_of``.

    Args:
        study: the study.
        collected: as ``gta.tables.read_all`` gives it.
        states: why runs are not among the metrics.

    Returns:
        For each cell ``title``, ``key`` (its fields, as a link to it ends), ``chosen`` (lambda by
        selection, None if it is missing) and ``runs``: ``lam`` (text where more is tuned),
        ``seed``, ``acc1``, ``heldout`` (percent; None where there is none), ``seconds`` (how long
        it took), ``log`` (of its job, from the page's folder; empty where there is none), ``state``
        (why a number or a curve is not there, else empty), ``imported`` (from which machine; empty
        if trained here) and ``curve``, as ``thin`` returns it.
    """
    took = results.read_collected(study, "seconds")[[*IDENTITY, "seconds"]]
    columns = [*IDENTITY, "acc1", "heldout_acc1", "seconds"]
    metrics = {
        Run(*identity): {"acc1": acc1, "heldout": heldout, "seconds": seconds}
        for *identity, acc1, heldout, seconds in collected.metrics.merge(took, on=IDENTITY)[
            columns
        ].itertuples(index=False, name=None)
    }
    chosen: dict[CellKey, dict[str, float | str | None]] = defaultdict(dict)
    for selection, *cell, lam, tuned in collected.selected[["selection", *CELL, *POINT]].itertuples(
        index=False, name=None
    ):
        chosen[tuple(cell)][selection] = None if pd.isna(lam) else _point(lam, tuned)
    points = points_for(len(study.runs))
    return [
        {
            "title": title(study, cell),
            "key": key(cell),
            "chosen": chosen[cell],
            "runs": [
                _run(study, run, metrics.get(run), states.get(run), points)
                | {"imported": str(collected.imported.get(run, ""))}
                for run in runs
            ],
        }
        for cell, runs in cells_of(study).items()
    ]


def _run(
    study: Study,
    run: Run,
    measured: Mapping[str, float] | None,
    state: State | None,
    points: int,
) -> dict[str, Any]:
    log = study.run_files(run).log
    found: dict[str, Any] = {"lam": _point(run.lam, run.tuned), "seed": run.seed}
    found |= {"acc1": None, "heldout": None, "seconds": None, "state": "", "curve": None}
    found["log"] = log.relative_to(study.folder).as_posix() if is_there(log) else ""
    if measured is None:
        said = state or State("missing")
        return found | {"state": ": ".join(filter(None, (said.state, said.reason)))}
    found |= {name: _known(value, 4) for name, value in measured.items()}
    try:
        found["curve"] = thin(results.read_part(study.run_files(run), "history"), points)
    except GtaError as error:
        found["state"] = str(error)
    return found


def _point(lam: float, tuned: str) -> float | str:
    """Lambda, or text of all that is tuned."""
    return point_text(lam or nan, tuned) if tuned else float(lam)


def _known(value: float, digits: int | None = None) -> float | None:
    if pd.isna(value):
        return None
    return float(value) if digits is None else round(float(value), digits)


def rerun_commands(study: Study, name: str, cells: Iterable[CellKey]) -> dict[CellKey, str]:
    """The commands that train the runs of cells again, as short as they can be.

    Args:
        study: the study.
        name: of the table in which the cells stand; for cells of which it has no runs of its
            own, the first table or figure that has them is named instead.
        cells: of the study.
    """
    owners = [name, *(other for other in study.specs if other != name)]
    cells_of_owner = {owner: set(map(cell_of, study.runs_of(owner))) for owner in owners}
    commands = {}
    for cell in cells:
        owner = next(owner for owner, there in cells_of_owner.items() if cell in there)
        options = []
        for field, value, values in zip(
            CELL, cell, zip(*cells_of_owner[owner], strict=True), strict=True
        ):
            if len(set(values)) > 1:
                text = f"{value:g}" if isinstance(value, float) else value
                options += [f"--{field}", text]
        commands[cell] = command(study, f"rerun {owner}", *options)
    return commands
