"""A table as the page shows it: text of its cells, where they stand, what opens behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import isnan
from typing import Any

import pandas as pd
from markupsafe import Markup

from gta.page.details import CellKey, rerun_commands
from gta.study import Study
from gta.study.run import CELL
from gta.tables import Page
from gta.tables.collected import table_kind
from gta.tables.layout import HEADINGS, Cell, title_of
from gta.tables.render import HOLE, code_in_html, parts

FIELDS = {
    "selection": "Choice of λ",
    "dataset": "Dataset",
    "source": "Source",
    "method": "Method",
    "mix": "Mix",
    "rate": "Rate",
}

TELLING = (HEADINGS["method"], HEADINGS["model"])


@dataclass(frozen=True)
class Heading:
    """A heading over one or more columns."""

    text: str
    span: int


@dataclass(frozen=True)
class Entry:
    """One cell of a block.

    Attributes:
        number, lam, mark, notes, about: as ``gta.tables`` shows them.
        best: whether it is the best of its column.
        order: by which it is sorted; empty in a hole.
        place: fields of the runs that it stands for.
        opens: number of the cell whose details it opens; None for none.
        first: whether it is the first of its row and selection that opens that cell.
    """

    number: str
    lam: str
    mark: str
    notes: str
    about: str
    best: bool
    order: str
    place: Mapping[str, Any]
    opens: int | None
    first: bool


@dataclass(frozen=True)
class Line:
    """A row: its names, whether it begins a group of rows, and its entries."""

    names: tuple[str, ...]
    begins: bool
    entries: list[Entry]


@dataclass(frozen=True)
class Block:
    """One table of HTML.

    Attributes:
        title: may be empty.
        corner: headings of the names of its rows.
        key: which of the names stays in view when the table is scrolled sideways.
        heads: rows of headings of its columns.
        lines: its rows.
    """

    title: str
    corner: list[str]
    key: int
    heads: list[list[Heading]]
    lines: list[Line]


@dataclass
class Section:
    """A table of the study.

    Attributes:
        name, title, caption: of the table.
        blocks: its parts; none where it could not be made.
        notes, remarks: what stands under it.
        details: of the cells that it opens, by their number: what the table says of them
            (``values``: rows of selection, heading, text), their ``notes``, and the ``command``
            that runs them again.
        fault: why it could not be made; else empty.
    """

    name: str
    title: str
    caption: str
    blocks: list[Block] = field(default_factory=list)
    notes: list[Markup] = field(default_factory=list)
    remarks: list[Markup] = field(default_factory=list)
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    fault: Markup = field(default_factory=Markup)


def unmade(study: Study, name: str, error: Exception) -> Section:
    """The section of a table that cannot be made yet."""
    spec = study.tables[name]
    return Section(name, spec.title, spec.caption, fault=Markup(code_in_html(str(error))))


def section(study: Study, page: Page, numbers: Mapping[CellKey, int]) -> Section:
    """Lay a table out for the page.

    Args:
        study: the study.
        page: the table, as ``gta.tables`` lays it out.
        numbers: of the study's cells, by which details are found.
    """
    made = Section(page.name, page.title, page.caption)
    made.notes = [Markup(code_in_html(note)) for note in page.notes]
    made.remarks = [Markup(code_in_html(remark)) for remark in page.remarks]
    for title, cells in page.blocks:
        made.blocks.append(_block(study, page, title, cells, numbers, made.details))
    cell_of_number = {number: cell for cell, number in numbers.items()}
    opened = {number: cell_of_number[number] for number in made.details}
    commands = rerun_commands(study, page.name, opened.values())
    for number, cell in opened.items():
        made.details[number]["command"] = commands[cell]
    return made


def _block(
    study: Study,
    page: Page,
    title: str,
    cells: pd.DataFrame,
    numbers: Mapping[CellKey, int],
    details: dict[int, dict[str, Any]],
) -> Block:
    heads = [_levels(column) for column in cells.columns]
    lines: list[Line] = []
    before: tuple[str, ...] = ()
    for index, values in zip(cells.index, cells.to_numpy().tolist(), strict=True):
        names = _levels(index)
        entries: list[Entry] = []
        there: set[tuple[int, Any]] = set()
        for head, value in zip(heads, values, strict=True):
            cell = value if isinstance(value, Cell) else None
            number = numbers.get(_key(cell)) if cell else None
            if cell is None or number is None:
                entries.append(_entry(cell, None, False))
                continue
            place = number, cell.place.get("selection")
            entries.append(_entry(cell, number, place not in there))
            there.add(place)
            told = details.setdefault(number, {"values": [], "notes": []})
            _tell(study, page, title, head, cell, told)
        lines.append(Line(names, names[:1] != before[:1], entries))
        before = names
    corner = [str(name or "") for name in cells.index.names]
    telling = [place for place, name in enumerate(corner) if name in TELLING]
    key = telling[-1] if telling else len(corner) - 1
    return Block(title, corner, key, _heads(heads), lines)


def _entry(cell: Cell | None, opens: int | None, first: bool) -> Entry:
    if cell is None:
        return Entry("", "", "", "", "", False, "", {}, None, False)
    number, lam, notes = parts(cell)
    order = "" if isnan(cell.mean) else repr(float(cell.mean))
    place = {name: value for name, value in cell.place.items() if name in FIELDS}
    return Entry(number, lam, cell.mark, notes, cell.about, cell.best, order, place, opens, first)


def _tell(
    study: Study, page: Page, title: str, head: tuple[str, ...], cell: Cell, told: dict[str, Any]
) -> None:
    """Add what a table says of a cell: the number under a heading, and its notes."""
    number, lam, _ = parts(cell)
    text = " ".join(filter(None, (f"{lam}:" if lam else "", number, cell.mark)))
    about = f" ({cell.about})" if cell.about else ""
    obvious = {title_of(study, name, value) for name, value in cell.place.items()}
    heading = ", ".join(part for part in head if part and part not in obvious)
    if not heading:
        heading = table_kind(study, page.name).unnamed or page.title
    selection = cell.place.get("selection")
    by = title_of(study, "selection", selection) if selection else title
    told["values"].append([by, heading, (text or HOLE) + about])
    for note in cell.notes:
        if page.notes[note - 1] not in told["notes"]:
            told["notes"].append(page.notes[note - 1])


def _key(cell: Cell) -> CellKey:
    """The cell of the study that a cell of a table stands for; no study has one with a None."""
    return tuple(cell.place.get(name) for name in CELL)


def _heads(heads: list[tuple[str, ...]]) -> list[list[Heading]]:
    """Rows of headings; equal ones side by side, under equal ones, are one."""
    rows = []
    for level in range(len(heads[0]) if heads else 0):
        groups = groupby(head[: level + 1] for head in heads)
        rows.append([Heading(key[-1], len(list(members))) for key, members in groups])
    return rows


def _levels(key: Any) -> tuple[str, ...]:
    return tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)


def choices(study: Study, sections: Iterable[Section]) -> dict[str, dict[Any, str]]:
    """Filters of the page: values and titles of each field that has several."""
    found: dict[str, dict[Any, str]] = {name: {} for name in FIELDS}
    for made in sections:
        for block in made.blocks:
            for line in block.lines:
                for entry in line.entries:
                    for name, value in entry.place.items():
                        found[name].setdefault(value, title_of(study, name, value))
    config = study.config
    ranks: dict[str, list[Any]] = {"dataset": config.datasets, "rate": config.rates}
    for name, order in ranks.items():
        values = found[name]
        found[name] = {value: values[value] for value in order if value in values}
    return {name: values for name, values in found.items() if len(values) > 1}
