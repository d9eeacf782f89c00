"""Tables of the optimism of choosing lambda on the test set, as the paper does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.run import CELL, POINT
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page


class Optimism(TableKind):
    """Accuracy at the lambda chosen on the test set less that at the held-out choice."""

    name: ClassVar[str] = "optimism"
    cells: ClassVar[bool] = False

    def check_study(self, study: Study, name: str) -> None:
        """Some dataset has held-out images."""
        infos = map(study.dataset_info, study.config.datasets)
        if study.config.split.heldout == 0 and all(
            info.counts is not None and not info.counts.heldout for info in infos
        ):
            raise ValueError(
                "kind optimism compares with λ chosen on held-out images, and split.heldout is 0"
            )

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``optimism`` returns it."""
        return optimism(study, name, collected.metrics, collected.selected)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``optimism_page`` returns it."""
        return optimism_page(study, name, frame)


def optimism(
    study: Study, name: str, metrics: pd.DataFrame, selected: pd.DataFrame
) -> pd.DataFrame:
    """Test accuracy at the lambda chosen on the test set less that at the held-out choice.

    Args:
        study: the study.
        name: of a table of kind ``optimism``.
        metrics: as ``gta.results.read_collected`` gives them.
        selected: as ``gta.tables.select`` gives it.

    Returns:
        A row for each cell of the study whose method has several lambdas: ``table, dataset, source,
        method, mix, rate, lam_test, tuned_test, lam_heldout, tuned_heldout, n, acc1_test,
        acc1_heldout, optimism_mean, optimism_std`` (percent; over the differences of runs of one
        seed, ddof 1), ``chosen_at`` (rate of the held-out choice) and ``missing``. A hole of either
        selection is one here.
    """
    from gta.tables.order import in_order

    methods = selected["method"].unique()
    several = [method for method in methods if len(study.methods.points(method)) > 1]
    cells = selected[selected["method"].isin(several)]
    test, heldout = (cells[cells["selection"] == rule] for rule in ("test", "heldout"))
    table = heldout.merge(
        test[[*CELL, *POINT, "acc1_mean"]], on=CELL, suffixes=("_heldout", "_test")
    )
    runs = metrics[[*CELL, *POINT, "seed", "acc1"]]
    chosen = [
        rows[[*CELL, *POINT]].dropna().merge(runs, on=[*CELL, *POINT]) for rows in (test, heldout)
    ]
    seeds = chosen[0].merge(chosen[1], on=[*CELL, "seed"], suffixes=("_test", "_heldout"))
    seeds["optimism"] = seeds["acc1_test"] - seeds["acc1_heldout"]
    means = seeds.groupby(CELL)["optimism"].agg(optimism_mean="mean", optimism_std="std")
    names = {f"acc1_mean_{rule}": f"acc1_{rule}" for rule in ("test", "heldout")}
    table = table.merge(means.reset_index(), on=CELL, how="left").rename(columns=names)
    columns = ["table", *CELL, "lam_test", "tuned_test", "lam_heldout", "tuned_heldout", "n"]
    columns += ["acc1_test", "acc1_heldout"]
    columns += ["optimism_mean", "optimism_std", "chosen_at", "missing"]
    return in_order(study, name, table.assign(table=name))[columns]


def optimism_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``optimism`` returns: means over datasets, then every cell."""
    from gta.tables.layout import Cell, Page, grid
    from gta.tables.notes import choice_remarks, hole_remarks

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    if table.empty:
        page.remarks.append("No method of this study has several lambdas: nothing was chosen.")
        return page
    lines = [f for f in ("source", "method", "mix") if f == "method" or table[f].nunique() > 1]
    if table["dataset"].nunique() > 1:
        groups = table.groupby([*lines, "rate"], sort=False)
        over = groups.agg(mean=("optimism_mean", _whole_mean), missing=("missing", _joined))
        columns = {"": lambda row: Cell(row.mean, notes=page.note(row.missing))}
        means = grid(study, over.reset_index(), lines, ["rate"], columns)
        page.blocks.append(("Mean over datasets", means))
    cells = grid(study, table, ["dataset", *lines], ["rate"], {"": partial(_cell, page)})
    page.blocks.append(("By dataset" if page.blocks else "", cells))
    known = table.dropna(subset="optimism_mean")
    same = sum(map(_agree, known.itertuples()))
    page.remarks.append(
        f"Over {len(known)} cells: mean {known['optimism_mean'].mean():.2f}, largest "
        f"{known['optimism_mean'].max():.2f}; in {same} of them both rules choose the same λ."
    )
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(
        "Mean ± sample standard deviation of the differences between runs of one seed, seeds "
        f"{seeds}; λ a → b: chosen by test accuracy → by held-out accuracy; 0 where these are the "
        "same. A mean over datasets is over those that have the cell."
    )
    page.remarks.extend(hole_remarks(table))
    page.remarks.extend(choice_remarks(study, table["method"]))
    return page


def _cell(page: Page, row: Any) -> Cell:
    from gta.tables.layout import Cell, choice_note

    notes = page.note(choice_note(row))
    if _agree(row):
        return Cell(0, notes=notes, form=".0f")
    return Cell(
        row.optimism_mean,
        row.optimism_std,
        row.lam_test,
        row.lam_heldout,
        notes=notes,
        tuned=row.tuned_test,
        other_tuned=row.tuned_heldout,
    )


def _agree(row: Any) -> bool:
    """Whether both rules choose the same point."""
    same = row.lam_test == row.lam_heldout and row.tuned_test == row.tuned_heldout
    return bool(same)


def _whole_mean(values: pd.Series[float]) -> float:
    return values.mean(skipna=False)


def _joined(values: pd.Series[str]) -> str:
    return "; ".join(filter(None, dict.fromkeys(values)))
