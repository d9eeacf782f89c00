"""From a tidy frame to what a reader sees: blocks of cells, and the notes under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan, nan
from typing import Any

import pandas as pd

from gta.catalog import MIXES
from gta.methods import METHODS
from gta.study import Study
from gta.study.run import CELL
from gta.tables.build import COUNTS
from gta.tables.intervals import BASELINE
from gta.tables.notes import (
    ABOVE,
    BELOW,
    WITHIN,
    choice_remarks,
    gain_remarks,
    hole_remarks,
    paper_remark,
    recipe_note,
)
from gta.tables.order import PRETRAINED

CHOSEN_BY = {"test": "λ by test accuracy", "heldout": "λ by held-out accuracy"}
HEADINGS = {
    "dataset": "Data set",
    "evaluated_on": "Masks of",
    "source": "Source",
    "method": "Method",
    "model": "Model",
    "mix": "Mix",
    "rate": "Rate",
    "selection": "",  # its titles speak for themselves
}
COUNT_TITLES = dict(zip(COUNTS, ("Classes", "Training images", "Test images"), strict=True))


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        mean: the number; NaN in a hole.
        std: its standard deviation; NaN where there is none.
        lam: the lambda that was chosen, shown where there was a choice; else NaN.
        other_lam: that of the other selection, where the number compares the two.
        lam_of: what lambda weighs, such as a reduction; shown behind it.
        notes: numbers of the notes that belong to it.
        best: whether it is the best of its column.
        form: format of the number.
        mark: a sign that the remarks explain.
        about: what the mark stands on, shown where a pointer rests.
        of: the number of which ``mean`` is a part; NaN where it is none.
        place: fields of the runs that it stands for, and its selection, as far as it has them.
    """

    mean: float
    std: float = nan
    lam: float = nan
    other_lam: float = nan
    lam_of: str = field(default="", compare=False)
    notes: tuple[int, ...] = ()
    best: bool = False
    form: str = ".2f"
    mark: str = ""
    about: str = ""
    of: float = nan
    place: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass
class Page:
    """A table as it is shown.

    Attributes:
        name, title, caption: of the table.
        blocks: title (may be empty) and frame of ``Cell``; absent cells are NaN.
        notes: numbered from 1, as the cells name them.
        remarks: on the whole of the table.
    """

    name: str
    title: str
    caption: str
    blocks: list[tuple[str, pd.DataFrame]]
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def note(self, text: str) -> tuple[int, ...]:
        """The number of a note, which is added where it is new; none for an empty one."""
        if not text:
            return ()
        if text not in self.notes:
            self.notes.append(text)
        return (self.notes.index(text) + 1,)


def title_of(study: Study, field_name: str, value: Any) -> str:
    """A value of a field as readers of the study see it."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    if field_name == "rate":
        return f"{value:g} %"
    if field_name == "mix":
        return MIXES[study.config.recipe.base_mix if value == "none" else value] or "none"
    if field_name == "selection":
        return CHOSEN_BY[value]
    if value == PRETRAINED:
        return "Pre-trained"
    if field_name == "source":
        return study.source_info(value).title
    if field_name in ("method", "model"):
        return study.methods[value].title
    return study.dataset_info(value).title


def accuracy_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``gta.tables.build.accuracy`` gives: both selections side by side.

    Where the table has the paper's numbers, each selection has a block of its own, and each
    cell the paper's and the difference beside it.
    """
    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption, [])
    across = spec.columns or ["rate"]
    named = [*spec.groups, *spec.rows]
    more = [f for f in CELL if f not in {*named, *across} and table[f].nunique() > 1]
    down = [*named, *more]
    highest = best(table, "acc1_mean", ["selection", *spec.groups, *across])
    has_paper = "paper_mean" in table

    def ours(row: Any) -> Cell:
        chosen, text = choice(study, row, row.method)
        mark, about = gain_mark(row)
        first = bool(highest[row.Index])
        notes = page.note(text)
        return Cell(
            row.acc1_mean,
            row.acc1_std,
            chosen,
            notes=notes,
            best=first,
            mark=mark,
            about=about,
        )

    columns: dict[str, Callable[[Any], Cell]] = {"": ours}
    if has_paper:
        columns = {
            "ours": ours,
            "paper": lambda row: Cell(row.paper_mean, row.paper_std),
            "Δ": difference,
        }
    if has_paper:
        for selection, rows in table.groupby("selection", sort=False):
            page.blocks.append(
                (CHOSEN_BY[str(selection)], grid(study, rows, down, across, columns))
            )
        page.remarks.append(paper_remark())
    else:
        page.blocks.append(("", grid(study, table, down, ["selection", *across], columns)))
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(f"Mean ± sample standard deviation over seeds {seeds}.")
    if highest.any():
        within = " and ".join(HEADINGS[f].lower() for f in spec.groups)
        page.remarks.append(f"Bold: the best of a column{' within a ' + within if within else ''}.")
    page.remarks.extend(gain_remarks(study, table))
    page.remarks.extend(hole_remarks(table))
    page.remarks.extend(choice_remarks(study, table["method"]))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page


def statistics_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``gta.tables.build.statistics`` gives."""
    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption, [])
    beside = {"": "ours", "paper_": "paper", "delta_": "Δ"}
    whose = beside if "paper_classes" in table else {"": ""}
    lines = []
    for row in table.to_dict("records"):
        notes = page.note(row["missing"])
        place = {"dataset": row["dataset"]}
        lines.append(
            [
                _count(row[prefix + count], () if prefix else notes, prefix == "delta_", place)
                for count in COUNTS
                for prefix in whose
            ]
        )
    names = [title_of(study, "dataset", dataset) for dataset in table["dataset"]]
    cells = pd.DataFrame(lines, index=pd.Index(names, name=HEADINGS["dataset"]), dtype=object)
    heads = pd.MultiIndex.from_product([COUNT_TITLES.values(), whose.values()])
    cells.columns = heads if len(whose) > 1 else heads.get_level_values(0)
    page.blocks.append(("", cells))
    return page


def choice(study: Study, row: Any, method: str) -> tuple[float, str]:
    """Lambda where there was one to choose, and the note that a row's first cell bears."""
    lam = row.lam if method in study.methods and len(study.grid(method)) > 1 else nan
    return lam, choice_note(row)


def choice_note(row: Any) -> str:
    """Why a row is a hole, or that its lambda was chosen at another rate; else empty."""
    if row.missing or isnan(row.chosen_at) or row.chosen_at == row.rate:
        return str(row.missing)
    return f"At {row.rate:g} % nothing is held out: λ as chosen at {row.chosen_at:g} %."


def grid(
    study: Study,
    table: pd.DataFrame,
    down: Sequence[str],
    across: Sequence[str],
    columns: dict[str, Callable[[Any], Cell]],
) -> pd.DataFrame:
    """Place each row's cells; rows and columns stand in the order of first appearance."""
    lines: dict[tuple[Any, ...], dict[tuple[Any, ...], Cell]] = {}
    for row in table.itertuples():
        line = lines.setdefault(_values(row, down), {})
        place = _place(row)
        weighed = lam_of(study, place.get("method"))
        for title, cell in columns.items():
            line[(*_values(row, across), title)] = replace(cell(row), place=place, lam_of=weighed)
    heads = list(dict.fromkeys(head for line in lines.values() for head in line))
    cells = pd.DataFrame([[line.get(h) for h in heads] for line in lines.values()], dtype=object)
    named = partial(title_of, study)
    cells.index = pd.MultiIndex.from_tuples(
        [tuple(map(named, down, line)) for line in lines], names=[HEADINGS[f] for f in down]
    )
    cells.columns = pd.MultiIndex.from_tuples(
        [(*map(named, across, head), head[-1]) for head in heads],
        names=[*(HEADINGS[f] for f in across), ""],
    )
    return cells.droplevel(-1, axis=1) if list(columns) == [""] else cells


def _values(row: Any, fields: Sequence[str]) -> tuple[Any, ...]:
    """Fields of a row, NaN as None so that equal keys are equal."""
    values = (getattr(row, field) for field in fields)
    return tuple(None if pd.isna(value) else value for value in values)


def _place(row: Any) -> dict[str, Any]:
    """The fields that a row has of a cell of the study; a model is what its method made of it."""
    fields = {field: field for field in ("selection", *CELL)}
    if hasattr(row, "model"):
        fields["method"] = "model"
    found = {name: getattr(row, field, None) for name, field in fields.items()}
    return {name: value for name, value in found.items() if not pd.isna(value)}


def lam_of(study: Study, method: str | None) -> str:
    """What a method's lambda weighs; empty for a source before training, which is not a method."""
    if method is None or method not in study.methods:
        return ""
    return study.methods.lam_of(method)


def best(table: pd.DataFrame, column: str, within: Sequence[str]) -> pd.Series[bool]:
    """The highest number of each group of several, where none of them is a hole."""
    groups = table.groupby(list(within), dropna=False)[column]
    whole = (groups.transform("count") == groups.transform("size")) & (groups.transform("size") > 1)
    return whole & (table[column] == groups.transform("max"))


def _count(value: Any, notes: tuple[int, ...], signed: bool, place: Mapping[str, Any]) -> Cell:
    number = nan if pd.isna(value) else float(value)
    form = "+,.0f" if signed and number else ",.0f"
    return Cell(number, notes=notes, form=form, place=place)


def difference(row: Any) -> Cell:
    """Ours less the paper's, and whether it lies within two pooled deviations."""
    mark = "" if pd.isna(row.within) else WITHIN[bool(row.within)]
    return Cell(row.delta, form="+.2f", mark=mark)


def gain_mark(row: Any) -> tuple[str, str]:
    """The mark of a gain whose interval leaves zero, and the gain with its interval."""
    if not hasattr(row, "gain_low") or isnan(row.gain_low):
        return "", ""
    ends = f"[{row.gain_low:+.2f}, {row.gain_high:+.2f}]"
    mark = ABOVE if row.gain_low > 0 else BELOW if row.gain_high < 0 else ""
    return mark, f"gain over {METHODS[BASELINE].title} {row.gain:+.2f} {ends}"
