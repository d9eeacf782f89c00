"""From a tidy frame to what a reader sees: blocks of cells, and the notes under them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isnan, nan
from typing import Any

import pandas as pd

from gta.catalog import METHODS, MIXES
from gta.study import Study
from gta.tables.build import COUNTS, PRETRAINED, PROTOCOL
from gta.tables.notes import method_notes, recipe_note
from gta.tables.selection import CELL

CHOSEN_BY = {"test": "λ by test accuracy", "heldout": "λ by held-out accuracy"}
HEADINGS = {
    "dataset": "Data set",
    "evaluated_on": "Data set",
    "source": "Source",
    "method": "Method",
    "model": "Model",
    "mix": "Mix",
    "rate": "Rate",
    "selection": "",  # its titles speak for themselves
}
COUNT_TITLES = dict(zip(COUNTS, ("Classes", "Training images", "Test images"), strict=True))
MEASURE_TITLES = {"matched_jaccard": "Matched Jaccard", "attention_mass": "Attention mass"}


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        mean: the number; NaN in a hole.
        std: its standard deviation; NaN where there is none.
        lam: the lambda that was chosen, shown where there was a choice; else NaN.
        notes: numbers of the notes that belong to it.
        best: whether it is the best of its column.
        form: format of the number.
    """

    mean: float
    std: float = nan
    lam: float = nan
    notes: tuple[int, ...] = ()
    best: bool = False
    form: str = ".2f"


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
        return MIXES[value] or "none"
    if field_name == "selection":
        return CHOSEN_BY[value]
    if value == PRETRAINED:
        return "Pre-trained"
    if field_name == "source":
        return study.source_info(value).title
    if field_name in ("method", "model"):
        return METHODS[value].title
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
    best = _best(table, "acc1_mean", ["selection", *spec.groups, *across])
    has_paper = "paper_mean" in table

    def ours(row: Any) -> Cell:
        chosen, text = choice(study, row, row.method)
        return Cell(row.acc1_mean, row.acc1_std, chosen, page.note(text), bool(best[row.Index]))

    columns: dict[str, Callable[[Any], Cell]] = {"": ours}
    if has_paper:
        columns = {
            "ours": ours,
            "paper": lambda row: Cell(row.paper_mean, row.paper_std),
            "Δ": lambda row: Cell(row.delta, form="+.2f"),
        }
    if has_paper:
        for selection, rows in table.groupby("selection", sort=False):
            page.blocks.append(
                (CHOSEN_BY[str(selection)], grid(study, rows, down, across, columns))
            )
        page.remarks.append("paper: arXiv 2401.02656; Δ: ours less the paper's.")
    else:
        page.blocks.append(("", grid(study, table, down, ["selection", *across], columns)))
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(f"Mean ± sample standard deviation over seeds {seeds}.")
    if best.any():
        within = " and ".join(HEADINGS[f].lower() for f in spec.groups)
        page.remarks.append(f"Bold: the best of a column{' within a ' + within if within else ''}.")
    page.remarks.extend(choice_remarks(study, table["method"]))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page


def statistics_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``gta.tables.build.statistics`` gives."""
    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption, [])
    whose = {"": "ours", "paper_": "paper"} if "paper_classes" in table else {"": ""}
    lines = []
    for row in table.to_dict("records"):
        notes = page.note(row["missing"])
        lines.append(
            [
                _count(row[prefix + count], () if prefix else notes)
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


def segmentation_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``gta.tables.build.segmentation`` gives: both selections side by side."""
    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption, [])
    elsewhere = table["dataset"].notna() & (table["dataset"] != table["evaluated_on"])
    down = ["evaluated_on", *(["dataset"] if elsewhere.any() else []), "model"]
    down += [f for f in ("source", "mix") if table[f].nunique() > 1] + ["rate"]
    protocols = list(dict.fromkeys(table["protocol"]))
    columns: dict[str, Callable[[Any], Cell]] = {}
    blocks = []
    for protocol in protocols:
        rows = table[table["protocol"] == protocol]
        first = protocol == protocols[0]
        columns = {f"Jaccard, {protocol}": _measure(page, study, rows, "jaccard", first)}
        if "paper_jaccard" in table:
            columns["paper"] = lambda row: Cell(row.paper_jaccard)
            columns["Δ"] = lambda row: Cell(row.delta, form="+.2f")
        if protocol == protocols[-1]:
            for measure, title in MEASURE_TITLES.items():
                columns[title] = _measure(page, study, rows, measure)
        blocks.append(grid(study, rows, down, ["selection"], columns))
    cells = pd.concat(blocks, axis=1)
    order = list(dict.fromkeys(cells.columns.get_level_values(0)))
    page.blocks.append(("", cells[order]))
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(f"On the test images; mean ± sample standard deviation over seeds {seeds}.")
    known = table.dropna(subset="mass").drop_duplicates("protocol")[PROTOCOL]
    for protocol, mass, heads, ignore_void in known.to_numpy().tolist():
        void = ", void pixels left out" if ignore_void else ""
        page.remarks.append(
            f"Jaccard, {protocol}: the fewest patches that hold {100 * mass:g} % of a head's "
            f"attention, {heads} head{void}."
        )
    page.remarks.append(
        "Matched Jaccard: as many patches as the objects cover, the strongest in the mean of heads."
    )
    page.remarks.extend(choice_remarks(study, table["model"]))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page


def _measure(
    page: Page, study: Study, rows: pd.DataFrame, name: str, with_lam: bool = False
) -> Callable[[Any], Cell]:
    best = _best(rows, name, ["selection", "evaluated_on"])

    def cell(row: Any) -> Cell:
        chosen, text = choice(study, row, row.model) if with_lam else (nan, row.missing)
        mean, std = getattr(row, name), getattr(row, f"{name}_std")
        return Cell(mean, std, chosen, page.note(text), bool(best[row.Index]))

    return cell


def choice(study: Study, row: Any, method: str) -> tuple[float, str]:
    """Lambda where there was one to choose, and the note that a row's first cell bears."""
    lam = row.lam if method in METHODS and len(study.grid(method)) > 1 else nan
    elsewhere = row.chosen_at != row.rate and not isnan(row.chosen_at)
    return lam, row.missing or (
        f"At {row.rate:g} % nothing is held out: λ as chosen at {row.chosen_at:g} %."
        if elsewhere
        else ""
    )


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
        for title, cell in columns.items():
            line[(*_values(row, across), title)] = cell(row)
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


def _best(table: pd.DataFrame, column: str, within: Sequence[str]) -> pd.Series[bool]:
    """The highest number of each group of several, where none of them is a hole."""
    groups = table.groupby(list(within), dropna=False)[column]
    whole = (groups.transform("count") == groups.transform("size")) & (groups.transform("size") > 1)
    return whole & (table[column] == groups.transform("max"))


def _count(value: Any, notes: tuple[int, ...]) -> Cell:
    return Cell(nan if pd.isna(value) else float(value), notes=notes, form=",.0f")


def choice_remarks(study: Study, methods: Iterable[str]) -> list[str]:
    """How lambda was chosen, and from what, where a method has several."""
    grids = [m for m in dict.fromkeys(methods) if m in METHODS and len(study.grid(m)) > 1]
    if not grids:
        return []
    return [
        "λ by test accuracy: the λ with the highest mean test accuracy over seeds, the paper's "
        "rule. λ by held-out accuracy: with the highest mean accuracy on images that are neither "
        "trained nor tested on. Ties go to the smaller λ.",
        *method_notes(study, grids),
    ]
