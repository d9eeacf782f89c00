"""Choice of each cell's lambda: by test accuracy, as the paper does, and by held-out accuracy.

Where a study tunes more than lambda (a learning rate, the lambda of a second penalty), what is
chosen is a point: ``lam`` and ``tuned``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import nan
from typing import Any, Literal

import pandas as pd

from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study
from gta.study.commands import patterns
from gta.study.run import CELL, IDENTITY, POINT, cell_of, identity_of, point_of
from gta.study.tuning import Tuning
from gta.tables.missing import UNCHOSEN, describe

Selection = Literal["test", "heldout"]
SELECTIONS: tuple[Selection, ...] = ("test", "heldout")

ACCURACIES = ("acc1", "heldout_acc1")  # all of the metrics that tables of them need
NO_HELDOUT = "no rate leaves held-out images to choose λ on"

# Means over seeds that differ by less (percent) are a tie: rounding, not images. One image in
# a million over a hundred seeds weighs 1e-6.
TIE_DIGITS = 7


def gather(runs: Iterable[Run], metrics: pd.DataFrame) -> pd.DataFrame:
    """A row for each expected run, with its metrics where it is done.

    Args:
        runs: the expected runs.
        metrics: identity columns and those of ``gta.results.METRICS``; rows of other runs are
            left out.

    Returns:
        Identity columns, ``acc1``, ``heldout_acc1`` and ``done``, in the order of the runs.

    Raises:
        GtaError: if a run stands twice in ``metrics``.
    """
    expected = pd.DataFrame(map(identity_of, runs), columns=IDENTITY)
    values = metrics[[*IDENTITY, *ACCURACIES]]
    twice = values[values.duplicated(IDENTITY)]
    if len(twice):
        run = Run(*next(twice[IDENTITY].itertuples(index=False)))
        raise GtaError(f"metrics: {run.name} stands twice; collect them again")
    table = expected.merge(values, how="left", on=IDENTITY)
    return table.assign(done=table["acc1"].notna())


def over_lambda(gathered: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds for each cell and point, sorted, lambda ascending.

    Args:
        gathered: as ``gather`` gives it.

    Returns:
        Cell, ``lam`` and ``tuned``; ``seeds`` expected and ``n`` done; ``acc1_mean``, ``acc1_std``
        (ddof 1) and ``heldout_mean``, NaN where a seed is missing; ``heldout_n`` seeds that have
        one.
    """
    groups = gathered.groupby([*CELL, *POINT], sort=True)
    table = groups.agg(
        seeds=("done", "size"),
        n=("done", "sum"),
        acc1_mean=("acc1", "mean"),
        acc1_std=("acc1", "std"),
        heldout_mean=("heldout_acc1", "mean"),
        heldout_n=("heldout_acc1", "count"),
    ).reset_index()
    table.loc[table["n"] < table["seeds"], ["acc1_mean", "acc1_std"]] = nan
    table.loc[table["heldout_n"] < table["seeds"], "heldout_mean"] = nan
    return table


def select(
    study: Study, metrics: pd.DataFrame, states: Mapping[Run, State] | None = None
) -> pd.DataFrame:
    """Choose lambda for every cell of a study, by both rules.

    ``test`` takes the lambda with the highest mean test accuracy over seeds, as the paper
    does, ``heldout`` the one with the highest mean held-out accuracy; ties go to the smaller
    lambda. Where a rate leaves no held-out image, the choice made at the highest rate that
    does is used. A cell that misses any run of its grid, or of the grid that its choice rests
    on, is a hole: no lambda, no mean, and ``missing`` says why and what to run.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` gives them.
        states: why runs are not in ``metrics``, where that is known.

    Returns:
        A row for each cell and selection: ``selection``, the cell, ``lam``, ``tuned`` (as in
        ``Run``; empty in a hole), ``chosen_at`` (the rate at which they were chosen), ``n`` (seeds
        with every point), ``seeds``, ``acc1_mean``, ``acc1_std`` (percent, ddof 1; of the test set)
        and ``missing``.

    Raises:
        GtaError: if a run stands twice in ``metrics``.
    """
    table = choices(study, metrics, states)
    if study.tuning is None:
        return table
    return _on_all_seeds(study, study.tuning, table, metrics, states or {})


def choices(
    study: Study, metrics: pd.DataFrame, states: Mapping[Run, State] | None = None
) -> pd.DataFrame:
    """As ``select``, with the numbers of the runs that lambda is chosen by."""
    gathered = gather(study.runs if study.tuning is None else study.tuning.planned, metrics)
    lambdas = over_lambda(gathered)
    cells = _cells(study, gathered, lambdas, states or {})
    picked = {"test": _test_choices(cells, lambdas), "heldout": _heldout_choices(cells, lambdas)}
    tables = []
    for selection in SELECTIONS:
        table = cells[[*CELL, "n", "seeds"]].merge(picked[selection], on=CELL, how="left")
        table = table.merge(
            lambdas[[*CELL, *POINT, "acc1_mean", "acc1_std"]], on=[*CELL, *POINT], how="left"
        )
        tables.append(table.assign(selection=selection))
    columns = ["selection", *CELL, *POINT, "chosen_at", "n", "seeds", "acc1_mean", "acc1_std"]
    return pd.concat(tables, ignore_index=True)[[*columns, "missing"]]


def _on_all_seeds(
    study: Study,
    tuning: Tuning,
    table: pd.DataFrame,
    metrics: pd.DataFrame,
    states: Mapping[Run, State],
) -> pd.DataFrame:
    """Choices with the numbers of all seeds in place of those that lambda was chosen on."""
    gathered = gather(tuning.every, metrics)
    columns, numbers = list(table.columns), ["n", "seeds", "acc1_mean", "acc1_std"]
    whole = over_lambda(gathered)[[*CELL, *POINT, *numbers]]
    table = table.merge(whole, on=[*CELL, *POINT], how="left", suffixes=("_tuning", ""))
    for column in ("n", "seeds"):
        table[column] = table[column].fillna(table[f"{column}_tuning"]).astype(int)
    table = table[columns]
    absent: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for values in gathered.loc[~gathered["done"], IDENTITY].itertuples(index=False, name=None):
        run = Run(*values)
        absent[point_of(run)].append(run)
    needed = frozenset(study.runs)
    holes: dict[Any, str] = {}
    for row in table[table["lam"].notna() & (table["n"] < table["seeds"])].itertuples():
        runs = absent[tuple(getattr(row, field) for field in [*CELL, *POINT])]
        said = {run: states.get(run, State("missing")) for run in runs if run in needed}
        text = describe(study, runs, {**dict.fromkeys(runs, UNCHOSEN), **said})
        holes[row.Index] = text
    there = ~table.index.isin(list(holes))
    table["missing"] = pd.Series(holes, dtype=str).reindex(table.index).fillna(table["missing"])
    return table.assign(
        lam=table["lam"].where(there),
        tuned=table["tuned"].where(there, ""),
        chosen_at=table["chosen_at"].where(there),
    )


def _cells(
    study: Study, gathered: pd.DataFrame, lambdas: pd.DataFrame, states: Mapping[Run, State]
) -> pd.DataFrame:
    """A row a cell: lambdas, seeds, n, missing, and what is known of its held-out images."""
    whole_seeds = gathered.groupby([*CELL, "seed"])["done"].all().groupby(CELL).sum().rename("n")
    cells = lambdas.groupby(CELL).agg(
        lambdas=("lam", "size"),
        seeds=("seeds", "first"),
        done=("n", "sum"),
        heldout=("heldout_n", "sum"),
    )
    absent = gathered[~gathered["done"]]
    cells["missing"] = _told(absent, lambda runs: describe(study, runs, states)).reindex(
        cells.index, fill_value=""
    )
    some = gathered.groupby(CELL)["heldout_acc1"].transform("count") > 0
    unjudged = gathered[gathered["done"] & gathered["heldout_acc1"].isna() & some]
    cells["unjudged"] = _told(unjudged, lambda runs: ", ".join(patterns(runs))).reindex(
        cells.index, fill_value=""
    )
    return cells.join(whole_seeds).reset_index()


def _told(rows: pd.DataFrame, tell: Callable[[list[Run]], str]) -> pd.Series[str]:
    """Joined messages about some runs of each cell."""
    runs: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for values in rows[IDENTITY].itertuples(index=False, name=None):
        run = Run(*values)
        runs[cell_of(run)].append(run)
    index = pd.MultiIndex.from_tuples(list(runs), names=CELL) if runs else None
    return pd.Series([tell(members) for members in runs.values()], index=index, dtype=str)


def _best(lambdas: pd.DataFrame, by: str) -> pd.DataFrame:
    """The point with the highest mean in each cell, ties to the smaller lambda."""
    table = lambdas.assign(rounded=lambdas[by].round(TIE_DIGITS))
    table = table.sort_values(["rounded", *POINT], ascending=[False, True, True])
    return table.drop_duplicates(CELL)[[*CELL, *POINT]]


def _test_choices(cells: pd.DataFrame, lambdas: pd.DataFrame) -> pd.DataFrame:
    choices = cells[[*CELL, "missing"]].merge(_best(lambdas, "acc1_mean"), on=CELL)
    hole = choices["missing"] != ""
    return choices.assign(
        lam=choices["lam"].mask(hole),
        tuned=choices["tuned"].mask(hole, ""),
        chosen_at=choices["rate"].mask(hole),
    )


@dataclass(frozen=True)
class _Standing:
    """A cell's best lambda on held-out images, and any obstacle to using it."""

    rate: float
    lam: float
    tuned: str
    lambdas: int  # points in the grid
    done: int  # runs
    heldout: int  # runs with held-out images
    missing: str  # runs
    unjudged: str  # runs without held-out images


def _heldout_choices(cells: pd.DataFrame, lambdas: pd.DataFrame) -> pd.DataFrame:
    best = cells.merge(_best(lambdas, "heldout_mean"), on=CELL).sort_values(CELL)
    names = [field.name for field in fields(_Standing)]
    families: dict[tuple[Any, ...], list[_Standing]] = defaultdict(list)
    for values in best[[*CELL[:-1], *names]].itertuples(index=False, name=None):
        families[values[: -len(names)]].append(_Standing(*values[-len(names) :]))
    rows = []
    for family, standings in families.items():
        from_the_highest = standings[::-1]
        for cell in standings:
            rows.append([*family, cell.rate, *_heldout_choice(cell, from_the_highest)])
    return pd.DataFrame(rows, columns=[*CELL, *POINT, "chosen_at", "missing"])


def _heldout_choice(
    cell: _Standing, from_the_highest: list[_Standing]
) -> tuple[float, str, float, str]:
    """The point, the rate it was chosen at, and what is missing for the choice."""
    if cell.missing:
        return nan, "", nan, cell.missing
    if cell.lambdas == 1:
        return cell.lam, cell.tuned, cell.rate, ""
    for other in (cell, *from_the_highest):
        if other.done and not other.heldout:
            continue
        if other.missing:
            return nan, "", nan, f"λ is chosen at {other.rate:g} %: {other.missing}"
        if other.unjudged:
            return nan, "", nan, f"without held-out accuracy: {other.unjudged}"
        return other.lam, other.tuned, other.rate, ""
    return nan, "", nan, NO_HELDOUT
