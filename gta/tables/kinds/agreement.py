"""The table of agreement with the paper: cells, order of the methods, trends over rates."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from gta.methods import METHODS
from gta.study.kinds import Input
from gta.study.run import CELL
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

LINE = ["source", "method", "mix"]
PLACE = ["selection", "dataset"]
COUNTS = ["cells", "compared", "judged", "within"]
CLAIMS = ["pairs", "clear", "steps", "trends", "clear_trends"]
COLUMNS = ["selection", "by", "of", *COUNTS, "within_expected", "delta_mean", "delta_abs_mean"]
COLUMNS += [f"{claim}{part}" for claim in CLAIMS for part in ("", "_kept")]
BASELINE = "finetune"


class Agreement(TableKind):
    """Agreement of the study's accuracies with the paper's."""

    name: ClassVar[str] = "agreement"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "intervals")
    cells: ClassVar[bool] = False

    def check_study(self, study: Study, name: str) -> None:
        """Some table of accuracy has the paper's numbers."""
        if not any(s.kind == "accuracy" and s.reference for s in study.tables.values()):
            raise ValueError(
                "kind agreement sums up tables of accuracy with a reference; the study has none"
            )

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``agreement`` returns it, of all tables of kind ``accuracy``."""
        names = [other for other, spec in study.tables.items() if spec.kind == "accuracy"]
        return agreement([collected.frame(other) for other in names])

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``agreement_page`` returns it."""
        return agreement_page(study, name, frame)

    def summary(self, study: Study, name: str, frame: pd.DataFrame) -> list[str]:
        """A sentence for each choice of lambda, over all tables."""
        return sentences(frame)


def agreement(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Sum up tables of accuracies that stand beside the paper's.

    Args:
        tables: as ``gta.tables.accuracy`` gives them; those without the paper's numbers, and
            cells that the paper lacks, are left out.

    Returns:
        A row for each selection over ``all``, by ``table`` and by ``dataset`` (``by`` and
        ``of``); what stands in several tables counts once, but by table. ``cells`` of the
        paper, those ``compared`` (ours is no hole), ``judged`` (a deviation is known) and
        ``within``, of which ``within_expected`` would be by the scatter of seeds alone;
        ``delta_mean`` and ``delta_abs_mean`` in percent; and how many there are, and ``_kept`` how
        many of them ours decides as the paper does, of

        - ``pairs`` of rows of a column (methods, sources, mixes), by which is better;
        - ``clear``: pairs that lie further apart in the paper than two pooled deviations;
        - ``steps`` of accuracy from a rate to the next, by their sign;
        - ``trends``: gain over fine-tuning at the lowest less that at the highest rate, by sign;
        - ``clear_trends``: trends that exceed two standard errors in the paper.
    """
    import pandas as pd

    beside = [table[table["paper_mean"].notna()] for table in tables if "paper_mean" in table]
    if not beside:
        return pd.DataFrame(columns=COLUMNS)
    cells = pd.concat(beside, ignore_index=True).assign(all="all")
    there = cells[cells["acc1_mean"].notna()]
    pairs = _pairs(there)
    parts = []
    for by in ("all", "table", "dataset"):
        keys = ["selection", by]
        place = [*PLACE, *(["table"] if by == "table" else [])]
        scope = [cells, there, pairs]
        all_cells, done, ordered = scope if by == "table" else map(_once, scope)
        part = _cells(all_cells, keys)
        trends = _trends(done, place)
        claims = {
            "pairs": ordered,
            "clear": ordered[ordered["clear"]],
            "steps": _steps(done, place),
            "trends": trends,
            "clear_trends": trends[trends["clear"]],
        }
        for claim, found in claims.items():
            kept = found.groupby(keys)["kept"]
            part[[claim, f"{claim}_kept"]] = kept.agg(["size", "sum"])
        parts.append(part.reset_index(names=["selection", "of"]).assign(by=by))
    table = pd.concat(parts, ignore_index=True)
    counts = [*COUNTS, *(f"{claim}{part}" for claim in CLAIMS for part in ("", "_kept"))]
    return table.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))[COLUMNS]


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that stand in several tables, once: where the paper gives a deviation, if it does."""
    identity = {"selection", *CELL, *(f"{field}_{side}" for field in LINE for side in "ab")}
    given = [column for column in rows.columns if column.startswith("paper_std")]
    order = rows[given].isna().any(axis=1).sort_values(kind="stable").index
    once = rows.loc[order].drop_duplicates([c for c in rows.columns if c in identity])
    return once.sort_index()


def _cells(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    told = cells.assign(
        judged=cells["within"].notna(),
        expected=chance_within(cells["acc1_std"], cells["n"], cells["paper_std"]).where(
            cells["within"].notna()
        ),
        inside=cells["within"].fillna(False).astype(bool),
        size=cells["delta"].abs(),
    )
    return told.groupby(keys, sort=False).agg(
        cells=("paper_mean", "size"),
        compared=("delta", "count"),
        judged=("judged", "sum"),
        within=("inside", "sum"),
        within_expected=("expected", "sum"),
        delta_mean=("delta", "mean"),
        delta_abs_mean=("size", "mean"),
    )


def chance_within(
    std: pd.Series[float], n: pd.Series[int], paper_std: pd.Series[float]
) -> pd.Series[float]:
    """Probability that a cell lies within two pooled deviations if only seeds differ.

    The difference of two means of n and three draws from one normal distribution, over their
    pooled deviation, is Student's t times sqrt(1/n + 1/3), with as many degrees of freedom as the
    known deviations have: .93 for three seeds and both deviations, .87 for one of them.
    """
    import numpy as np
    import pandas as pd
    from scipy.special import stdtr  # scipy.stats takes a second to import

    from gta.tables.reference import DEVIATIONS, PAPER_SEEDS

    freedom = (n - 1).where(std.notna(), 0) + paper_std.notna() * (PAPER_SEEDS - 1)
    limit = DEVIATIONS / np.sqrt(1 / n + 1 / PAPER_SEEDS)
    inside = 1 - 2 * stdtr(freedom.where(freedom > 0), -limit)
    return pd.Series(inside, index=std.index)


def _pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """Pairs of rows of one column that the paper puts in an order."""
    column = ["table", *PLACE, "rate"]
    kept = cells[[*column, "all", *LINE, "acc1_mean", "paper_mean", "paper_std"]]
    kept = kept.assign(place=range(len(kept)))
    pairs = kept.merge(kept, on=[*column, "all"], suffixes=("_a", "_b"))
    pairs = pairs[pairs["place_a"] < pairs["place_b"]]
    paper = pairs["paper_mean_a"] - pairs["paper_mean_b"]
    ours = pairs["acc1_mean_a"] - pairs["acc1_mean_b"]
    from gta.tables.reference import DEVIATIONS

    pooled = ((pairs["paper_std_a"] ** 2 + pairs["paper_std_b"] ** 2) / 2) ** 0.5
    pairs = pairs.assign(kept=_same_sign(ours, paper), clear=paper.abs() > DEVIATIONS * pooled)
    return pairs[paper != 0]


def _steps(cells: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """Steps from a rate to the next one of the same row."""
    cells = cells.sort_values("rate", kind="stable")
    steps = cells.groupby([*place, *LINE])[["acc1_mean", "paper_mean"]].diff()
    kept = cells.assign(kept=_same_sign(steps["acc1_mean"], steps["paper_mean"]))
    return kept[steps["paper_mean"].notna() & (steps["paper_mean"] != 0)]


def _trends(cells: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """Gains over fine-tuning, at the lowest less at the highest rate.

    ``clear``: more than two standard errors of the paper's, whose four means are taken as
    independent; False where it gives no deviation.
    """
    import pandas as pd

    from gta.tables.reference import PAPER_SEEDS

    twin = [*place, "source", "mix", "rate"]
    tuned = cells[cells["method"] == BASELINE]
    tuned = tuned[[*twin, "acc1_mean", "paper_mean", "paper_std"]]
    gains = cells[cells["method"] != BASELINE].merge(tuned, on=twin, suffixes=("", "_tuned"))
    gains = gains.assign(
        ours=gains["acc1_mean"] - gains["acc1_mean_tuned"],
        paper=gains["paper_mean"] - gains["paper_mean_tuned"],
        variance=(gains["paper_std"] ** 2 + gains["paper_std_tuned"] ** 2) / PAPER_SEEDS,
    )
    line = [*place, "all", *LINE]
    ordered = gains.sort_values("rate", kind="stable")
    low, high = (
        ordered.drop_duplicates(line, keep=keep).set_index(line) for keep in ("first", "last")
    )
    high = high.reindex(low.index)
    paper = low["paper"] - high["paper"]
    ours = low["ours"] - high["ours"]
    error = (low["variance"] + high["variance"]) ** 0.5
    ends = pd.DataFrame({"kept": _same_sign(ours, paper), "clear": paper.abs() > 2 * error})
    return ends[(low["rate"] != high["rate"]) & (paper != 0)].reset_index()


def _same_sign(ours: pd.Series[float], paper: pd.Series[float]) -> pd.Series[bool]:
    return ((ours > 0) == (paper > 0)) & ((ours < 0) == (paper < 0))


def agreement_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``agreement`` returns, a block for each selection."""
    import pandas as pd

    from gta.tables.layout import CHOSEN_BY, Page
    from gta.tables.reference import DEVIATIONS

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    if table.empty:
        page.remarks.append("None of this study's cells is one of the paper's.")
        return page
    for selection, rows in table.groupby("selection", sort=False):
        lines = rows.to_dict("records")
        cells = pd.DataFrame([_line(line) for line in lines], dtype=object)
        cells.index = pd.MultiIndex.from_tuples(
            [_titles(study, line["by"], line["of"]) for line in lines], names=["", "Cells of"]
        )
        page.blocks.append((CHOSEN_BY[str(selection)], cells))
    page.remarks += [
        "Compared: our cells that are no hole, of the paper's; a cell that stands in several "
        "tables counts once in all and by dataset.",
        f"Within {DEVIATIONS:g} SD: cells within that many pooled standard deviations of the "
        "paper's cell, of those for which one is known (where it gives none, ours alone). "
        "Δ: ours less the paper's, in percent. By chance: how many of them would be if ours had "
        "the paper's true means and only seeds differed (93 % with three seeds where both "
        "deviations are known, 87 % where one is).",
        "Order: pairs of rows of a column (methods, and where a table has them sources and "
        "mixes) that stand in the paper's order; told apart: of the pairs that lie further "
        f"apart in the paper than {DEVIATIONS:g} pooled standard deviations of it.",
        "Accuracy over rates: steps from a sampling rate to the next that go the paper's way. "
        f"Gain over rates: methods whose gain over {METHODS[BASELINE].title} falls, or rises, "
        "from the lowest to the highest rate as in the paper; told apart: of those that change by "
        "more than two standard errors in the paper. Of orders and signs that are not told apart, "
        "chance alone gives half.",
    ]
    return page


def sentences(table: pd.DataFrame) -> list[str]:
    """The agreement with the paper over all tables, a sentence for each choice of lambda."""
    from gta.tables.layout import CHOSEN_BY
    from gta.tables.reference import DEVIATIONS

    said = []
    for row in table[table["by"] == "all"].to_dict("records"):
        parts = [f"{row['compared']:,} of the paper's {row['cells']:,} cells compared"]
        if row["judged"]:
            near = f"{row['within']:,} of {row['judged']:,}"
            parts.append(f"{near} within {DEVIATIONS:g} pooled standard deviations")
        if row["compared"]:
            parts.append(f"mean difference {row['delta_mean']:+.2f} points")
        if row["pairs"]:
            parts.append(f"{row['pairs_kept']:,} of {row['pairs']:,} pairs in the paper's order")
        if row["trends"]:
            kept = f"{row['trends_kept']:,} of {row['trends']:,}"
            parts.append(f"{kept} gains change over the rates as in the paper")
        said.append(f"{CHOSEN_BY[str(row['selection'])]}: {'; '.join(parts)}.")
    return said


def _line(row: dict[Hashable, Any]) -> dict[str, Cell]:
    from gta.tables.layout import Cell
    from gta.tables.reference import DEVIATIONS

    def part(count: str, of: str) -> Cell:
        return Cell(row[count], of=row[of], form=".0f") if row[of] else Cell(nan)

    return {
        "Compared": part("compared", "cells"),
        f"Within {DEVIATIONS:g} SD": part("within", "judged"),
        "By chance": Cell(row["within_expected"] if row["judged"] else nan, form=".1f"),
        "Mean Δ": Cell(row["delta_mean"], form="+.2f"),
        "Mean absolute Δ": Cell(row["delta_abs_mean"]),
        "Order": part("pairs_kept", "pairs"),
        "Order, told apart": part("clear_kept", "clear"),
        "Accuracy over rates": part("steps_kept", "steps"),
        "Gain over rates": part("trends_kept", "trends"),
        "Gain over rates, told apart": part("clear_trends_kept", "clear_trends"),
    }


def _titles(study: Study, by: str, of: str) -> tuple[str, str]:
    from gta.tables.layout import HEADINGS, title_of

    if by == "dataset":
        return HEADINGS[by], title_of(study, by, of)
    return ("Table", study.tables[of].title) if by == "table" else ("All", "")
