"""Tables of top-1 accuracies: each cell at its chosen lambda, the paper's number beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any, ClassVar

from gta.methods import METHODS
from gta.study.kinds import Input
from gta.study.run import CELL, POINT
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page


class Accuracy(TableKind):
    """Mean accuracy over seeds by both choices of lambda, with marks of gains over fine-tuning."""

    name: ClassVar[str] = "accuracy"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "intervals")
    number: ClassVar[tuple[str, str] | None] = ("acc1_mean", "acc1_std")
    unnamed: ClassVar[str] = "ours"
    reference_columns: ClassVar[tuple[str, ...]] = ("table", *CELL, "acc1_mean", "acc1_std")

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``accuracy`` returns it."""
        if study.reference_study is not None:
            frame = accuracy(study, name, collected.selected, None, collected.intervals)
            return beside(frame, collected.reference_cells)
        reference = collected.reference(name)
        return accuracy(study, name, collected.selected, reference, collected.intervals)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``accuracy_page`` returns it."""
        return accuracy_page(study, name, frame)


def accuracy(
    study: Study,
    name: str,
    selected: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Accuracies of each cell, the paper's beside them.

    Args:
        study: the study.
        name: of the table.
        selected: as ``gta.tables.select`` gives it.
        reference: the paper's: table, dataset, source, method, mix, rate, acc1_mean, acc1_std.
        intervals: of the gains over fine-tuning, of the schema ``gta.tables.INTERVALS``.

    Returns:
        A row for each selection and cell, in the order of display: ``table, selection, dataset,
        source, method, mix, rate, lam, tuned, n, acc1_mean, acc1_std``; where a cell is the
        paper's, ``paper_mean, paper_std, delta`` and ``within`` (whether ``delta`` lies within two
        pooled deviations; see ``gta.tables.reference.pooled_std``); with intervals, ``gain,
        gain_low, gain_high`` over fine-tuning and ``best_group`` (see ``gta.tables.groups``);
        ``chosen_at`` (rate at which lambda was chosen) and ``missing`` (why a cell is empty and
        what to run, else empty). Accuracies in percent, deviations with ddof 1, ``delta`` ours less
        the paper's.
    """
    from gta.tables.groups import best_group
    from gta.tables.intervals import GAIN, compared_within, with_gains
    from gta.tables.order import cells_of, in_order
    from gta.tables.reference import within

    table = cells_of(study, name).merge(selected, on=CELL, how="left")
    table = in_order(study, name, table.assign(table=name))
    identity = ["table", "selection", "dataset", "source", "method", "mix", "rate"]
    columns = [*identity, *POINT, "n", "acc1_mean", "acc1_std"]
    if reference is not None:
        keys = ["table", *CELL]
        paper = reference.rename(columns={"acc1_mean": "paper_mean", "acc1_std": "paper_std"})
        paper = paper[[*keys, "paper_mean", "paper_std"]].astype({"rate": float})
        joined = table.merge(paper, on=keys, how="left", validate="many_to_one")
        if joined["paper_mean"].notna().any():
            table = joined.assign(delta=joined["acc1_mean"] - joined["paper_mean"])
            table["within"] = within(
                table["delta"], table["acc1_std"], table["n"], table["paper_std"]
            )
            columns += ["paper_mean", "paper_std", "delta", "within"]
    if intervals is not None:
        table = with_gains(table, selected, intervals)
        within_fields = ["selection", *compared_within(study, name)]
        table["best_group"] = best_group(table, intervals, within_fields)
        columns += [*GAIN, "best_group"]
    return table[[*columns, "chosen_at", "missing"]]


def beside(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Add the cells of another study, where it has them, to what ``accuracy`` returns.

    Args:
        table: as ``accuracy`` returns it.
        other: as ``gta.tables.other_study.reference_cells`` returns it.

    Returns:
        With ``reference_mean, reference_std, reference_n, reference_lam``, ``delta`` (ours less
        the other's, percent), ``within`` and ``differs`` (what the runs were made of differently).
    """
    from gta.tables.reference import within

    joined = table.merge(other, on=["selection", *CELL], how="left", validate="many_to_one")
    joined["delta"] = joined["acc1_mean"] - joined["reference_mean"]
    n = joined["reference_n"].fillna(1).astype(int)
    joined["within"] = within(
        joined["delta"], joined["acc1_std"], joined["n"], joined["reference_std"], n
    )
    return joined.assign(differs=joined["differs"].fillna(""))


def accuracy_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``accuracy`` returns, both selections side by side.

    Where the table has the paper's numbers, or another study's, each selection has a block of its
    own, and each cell the other's and the difference beside it.
    """
    from gta.tables import notes
    from gta.tables.intervals import compared_within
    from gta.tables.layout import (
        CHOSEN_BY,
        Cell,
        Page,
        best,
        choice,
        difference,
        grid,
        title_of,
    )
    from gta.tables.other_study import other_name, other_remark

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    across = spec.columns or ["rate"]
    named = [*spec.groups, *spec.rows]
    more = [f for f in CELL if f not in {*named, *across} and table[f].nunique() > 1]
    down = [*named, *more] or [field for field in ("method",) if field not in across]
    within = compared_within(study, name)
    highest = best(table, "acc1_mean", ["selection", *within])
    tied = tied_cells(table, ["selection", *within])
    has_paper, has_other = "paper_mean" in table, "reference_mean" in table

    def ours(row: Any) -> Cell:
        chosen, text = choice(study, row, row.method)
        mark, about = gain_mark(row)
        first = bool(highest[row.Index])
        return Cell(
            row.acc1_mean,
            row.acc1_std,
            notes=page.note(text),
            best=first,
            mark=mark + (notes.TIED if tied[row.Index] else ""),
            about=about,
            **chosen,
        )

    columns: dict[str, Callable[[Any], Cell]] = {"": ours}
    if has_paper:
        columns = {
            "ours": ours,
            "paper": lambda row: Cell(row.paper_mean, row.paper_std),
            "Δ": difference,
        }
    if has_other:
        columns = {"ours": ours, other_name(study): partial(_other, page), "Δ": difference}
    if has_paper or has_other:
        for selection, rows in table.groupby("selection", sort=False):
            page.blocks.append(
                (CHOSEN_BY[str(selection)], grid(study, rows, down, across, columns))
            )
        page.remarks.append(notes.paper_remark() if has_paper else other_remark(study))
    else:
        page.blocks.append(("", grid(study, table, down, ["selection", *across], columns)))
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(f"Mean ± sample standard deviation over seeds {seeds}.")
    if highest.any():
        page.remarks.append(f"Bold: the best of {notes.compared(within, spec)}.")
    page.remarks.extend(notes.gain_remarks(study, table))
    if tied.any():
        page.remarks.append(notes.tied_remark(notes.compared(within, spec)))
    page.remarks.extend(notes.hole_remarks(table))
    page.remarks.extend(notes.choice_remarks(study, table["method"]))
    page.remarks.append(notes.recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page


def _other(page: Page, row: Any) -> Cell:
    """The other study's cell; its note says what its runs were made of differently."""
    from gta.tables.layout import Cell

    tuned = row.reference_tuned if isinstance(row.reference_tuned, str) else ""  # NaN: no such cell
    return Cell(
        row.reference_mean,
        row.reference_std,
        row.reference_lam,
        tuned=tuned,
        notes=page.note(row.differs),
    )


def tied_cells(table: pd.DataFrame, column: Sequence[str]) -> pd.Series[bool]:
    """Cells that cannot be told from the best of their column, and these best ones."""
    if "best_group" not in table:
        return (table["n"] < 0).astype(bool)
    members = table["best_group"].fillna(False).astype(bool)
    sizes = members.groupby([table[field] for field in column], dropna=False).transform("sum")
    return members & (sizes > 1)


def gain_mark(row: Any) -> tuple[str, str]:
    """The mark of a gain whose interval excludes zero, and the gain with its interval."""
    from gta.tables.intervals import BASELINE
    from gta.tables.notes import ABOVE, BELOW

    if not hasattr(row, "gain_low") or isnan(row.gain_low):
        return "", ""
    ends = f"[{row.gain_low:+.2f}, {row.gain_high:+.2f}]"
    mark = ABOVE if row.gain_low > 0 else BELOW if row.gain_high < 0 else ""
    return mark, f"gain over {METHODS[BASELINE].title} {row.gain:+.2f} {ends}"
