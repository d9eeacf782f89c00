"""Layout of a tidy frame as blocks of cells with notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan, nan
from typing import Any

import pandas as pd

from gta.catalog import MIXES
from gta.study import Study
from gta.study.run import CELL
from gta.tables.notes import WITHIN
from gta.tables.order import PRETRAINED

CHOSEN_BY = {"test": "λ by test accuracy", "heldout": "λ by held-out accuracy"}
HEADINGS = {
    "dataset": "Dataset",
    "evaluated_on": "Masks of",
    "source": "Source",
    "method": "Method",
    "model": "Model",
    "mix": "Mix",
    "rate": "Rate",
    "selection": "",  # its titles speak for themselves
}


DOWN = ("method", "model", "mix", "source", "dataset", "rate")  # the first names unnamed rows


@dataclass(frozen=True)
class Cell:
    """Content of one table cell.

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
        tuned, other_tuned: what was chosen beside ``lam`` and ``other_lam``, as in ``Run``.
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
    tuned: str = ""
    other_tuned: str = ""


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
    blocks: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def note(self, text: str) -> tuple[int, ...]:
        """The number of a note, which is added where it is new; none for an empty one."""
        text = " ".join(text.split())
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


def choice(study: Study, row: Any, method: str) -> tuple[dict[str, Any], str]:
    """``lam`` and ``tuned`` of a ``Cell``, where there was a choice, and the note that it bears."""
    chosen: dict[str, Any] = {}
    if method in study.methods and len(study.methods.points(method)) > 1 and not isnan(row.lam):
        chosen = {"tuned": row.tuned}
        if len(study.grid(method)) > 1:
            chosen["lam"] = row.lam
    return chosen, choice_note(row)


def choice_note(row: Any) -> str:
    """Reason for an empty row, or a note that its lambda was chosen at another rate; else empty."""
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
    """Place each row's cells; rows and columns stand in the order of first appearance.

    Args:
        study: the study.
        table: a tidy frame.
        down: fields that name the rows; one that no column names where none is given.
        across: fields that name the columns; rates where none is given.
        columns: for each column under these its title and what gives its cell.
    """
    across = list(across) or ["rate"]
    down = list(down) or [next(f for f in DOWN if f in table and f not in across)]
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
    """Unit of a method's lambda; empty for a source before training, which is not a method."""
    if method is None or method not in study.methods:
        return ""
    return study.methods.lam_of(method)


def best(table: pd.DataFrame, column: str, within: Sequence[str]) -> pd.Series[bool]:
    """The highest number of each group of several, where none of them is missing."""
    groups = table.groupby(list(within), dropna=False)[column]
    whole = (groups.transform("count") == groups.transform("size")) & (groups.transform("size") > 1)
    return whole & (table[column] == groups.transform("max"))


def difference(row: Any) -> Cell:
    """Ours less the paper's, and whether it lies within two pooled deviations."""
    mark = "" if pd.isna(row.within) else WITHIN[bool(row.within)]
    return Cell(row.delta, form="+.2f", mark=mark)
