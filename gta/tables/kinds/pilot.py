"""Tables that rank readings of the recipe by their distance to the paper's numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.run import CELL
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.study.tables import TableSpec
    from gta.tables.collected import Collected
    from gta.tables.layout import Page

PLACE = ["dataset", "source", "mix", "rate"]
COLUMNS = ["table", "rank", "distance", "method", *PLACE, "n", "acc1_mean"]
COLUMNS += ["paper_mean", "paper_std", "delta", "z", "missing"]


class Pilot(TableKind):
    """Readings of the recipe (variants of a method) ranked by distance to the paper's numbers."""

    name: ClassVar[str] = "pilot"
    reference_columns: ClassVar[tuple[str, ...]] = ("table", *CELL, "acc1_mean", "acc1_std")

    def check(self, spec: TableSpec) -> None:
        """The paper's numbers are given."""
        if spec.reference is None:
            raise ValueError("kind pilot needs a reference to measure the distance to")

    def check_study(self, study: Study, name: str) -> None:
        """Its methods have no lambda to choose, so that nothing but the recipe differs."""
        for method in sorted({run.method for run in study.runs_of(name)}):
            if study.grid(method) != (0.0,):
                raise ValueError(f"{method} has lambdas; a pilot compares methods without")

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``pilot`` returns it."""
        reference = collected.reference(name)
        assert reference is not None
        return pilot(study, name, collected.selected, reference)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``pilot_page`` returns it."""
        return pilot_page(study, name, frame)

    def summary(self, study: Study, name: str, frame: pd.DataFrame) -> list[str]:
        """The nearest reading and the line that takes it."""
        ranked = ranking(frame)
        if ranked.empty:
            return ["No reading of the recipe has all of its runs yet."]
        nearest = ranked.to_dict("records")[0]
        return [f"The nearest reading of the recipe: {sentence(study, nearest)}."]


def pilot(study: Study, name: str, selected: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each reading beside the paper's, and how far it is from it.

    The distance of a cell is its difference to the paper's mean in standard deviations of that
    difference, z = (ours - paper) / (s sqrt(1/n + 1/3)), where s^2 is the mean of the paper's
    squared deviations of this method at this rate, over all of its datasets: a cell's own, of
    three seeds, is too uncertain. That of a reading is the root mean square of z over its cells,
    near 1 where only seeds differ.

    Args:
        study: the study.
        name: of a table of kind ``pilot``.
        selected: as ``gta.tables.select`` returns it.
        reference: the paper's: dataset, source, method, mix, rate, acc1_mean, acc1_std.

    Returns:
        A row for each cell, nearest reading first: ``table, rank, distance, method`` (the
        reading), ``dataset, source, mix, rate, n, acc1_mean, paper_mean, paper_std`` (s),
        ``delta, z, missing``. Percent. A reading with a missing cell has neither distance nor
        rank.

    Raises:
        GtaError: if the paper has no number and deviation for one of the cells.
    """
    from gta.errors import GtaError
    from gta.tables.order import cells_of, in_order
    from gta.tables.reference import PAPER_SEEDS

    chosen = selected[selected["selection"] == "test"]
    table = cells_of(study, name).merge(chosen, on=CELL, how="left")
    table["of"] = table["method"].map(study.methods.origin)
    paper = reference.dropna(subset="acc1_std").astype({"rate": float})
    paper = paper.rename(columns={"method": "of", "acc1_mean": "paper_mean"})
    variance = (paper["acc1_std"] ** 2).groupby([paper["of"], paper["rate"]]).mean()
    known = paper.drop_duplicates(["of", *PLACE])[["of", *PLACE, "paper_mean"]]
    table = table.merge(known, on=["of", *PLACE], how="left", validate="many_to_one")
    if (absent := table[table["paper_mean"].isna()]).size:
        cell = " ".join(f"{field}={absent.iloc[0][field]}" for field in ("of", *PLACE))
        raise GtaError(f"{name}: the reference has no deviation for {cell}")
    keys = list(zip(table["of"], table["rate"], strict=True))
    table["paper_std"] = variance.loc[keys].to_numpy() ** 0.5
    table["delta"] = table["acc1_mean"] - table["paper_mean"]
    table["z"] = table["delta"] / (table["paper_std"] * (1 / table["n"] + 1 / PAPER_SEEDS) ** 0.5)
    squares = (table["z"] ** 2).groupby(table["method"])
    distance = (squares.mean() ** 0.5).where(squares.count() == squares.size())
    table["distance"] = table["method"].map(distance)
    table["rank"] = table["method"].map(distance.rank(method="min"))
    table = in_order(study, name, table.assign(table=name))
    order = table["rank"].sort_values(kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)[COLUMNS]


def ranking(frame: pd.DataFrame) -> pd.DataFrame:
    """``rank``, ``distance`` and ``method`` of each reading that has one, nearest first."""
    ranked = frame[["rank", "distance", "method"]].dropna().drop_duplicates()
    return ranked.reset_index(drop=True)


def stanza(study: Study, method: str) -> str:
    """The line of a config that makes a reading the study's recipe; empty for today's recipe."""
    recipe = study.methods.recipe(method)
    return f"recipe: {_flow(recipe)}" if recipe else ""


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value).strip('"')


def sentence(study: Study, row: Mapping[Any, Any]) -> str:
    """A reading, its distance, and the line that takes it."""
    line = stanza(study, row["method"])
    how = f"to take it: `{line}`" if line else "it is the recipe as it stands"
    title = study.methods[row["method"]].title
    return f"{title}, {row['distance']:.2f} standard deviations from the paper; {how}"


def pilot_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``pilot`` returns: the ranking, then every cell."""
    import pandas as pd

    from gta.tables.layout import HEADINGS, Cell, Page, grid, title_of
    from gta.tables.notes import hole_remarks, recipe_note

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    readings = table.drop_duplicates("method").set_index("method")[["rank", "distance"]]
    forms = {"rank": ".0f", "distance": ".2f"}
    distances = pd.DataFrame(
        [
            [Cell(row[name], form=form) for name, form in forms.items()]
            for _, row in readings.iterrows()
        ],
        index=pd.Index(
            [title_of(study, "method", method) for method in readings.index],
            name=HEADINGS["method"],
        ),
        columns=["Rank", "Distance (SD)"],
        dtype=object,
    )
    page.blocks.append(("Ranking", distances))
    columns = {
        "ours": lambda row: Cell(row.acc1_mean, notes=page.note(row.missing)),
        "paper": lambda row: Cell(row.paper_mean, row.paper_std),
        "Δ": lambda row: Cell(row.delta, form="+.2f"),
        "SD": lambda row: Cell(row.z, form="+.1f"),
    }
    across = spec.columns or ["dataset", "rate"]
    page.blocks.append(("Cells", grid(study, table, spec.rows or ["method"], across, columns)))
    page.remarks += [
        f"{row['rank']:.0f}. {sentence(study, row)}." for row in ranking(table).to_dict("records")
    ]
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(
        "paper: arXiv 2401.02656; behind ± the root mean square of its deviations at that rate. "
        "SD: the difference in standard deviations of a difference of two means, ours over seeds "
        f"{seeds} and the paper's over three. Distance: their root mean square over a reading's "
        "cells; where only seeds differ it is near 1."
    )
    page.remarks.extend(hole_remarks(table))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page
