"""Tables of gains over a baseline, seed by seed, with Student's intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import nan, sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.run import CELL, POINT
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from gta.study import Study
    from gta.study.tables import TableSpec
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

PLACE = ["selection", *(field for field in CELL if field != "method")]


class Gains(TableKind):
    """Accuracy, gain over ``baseline`` and attention mass, with intervals over seeds."""

    name: ClassVar[str] = "gains"
    axes: ClassVar[bool] = True
    number: ClassVar[tuple[str, str] | None] = ("acc1_mean", "acc1_half")

    def check(self, spec: TableSpec) -> None:
        """The baseline is one of the table's methods."""
        methods = {method for cells in spec.cells for method in cells.method}
        if spec.baseline not in methods:
            raise ValueError(f"baseline: {spec.baseline!r} is not one of the table's methods")

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``gains`` returns it."""
        return gains(study, name, collected.metrics, collected.selected)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``gains_page`` returns it."""
        return gains_page(study, name, frame)


def half_width(values: NDArray[np.floating]) -> float:
    """Half the width of Student's 95 % interval for the mean; NaN for fewer than two values.

    t(0.975, n - 1) s / sqrt(n), with s of ddof 1.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    from gta.tables.anova import LEVEL

    if len(values) < 2:
        return nan
    quantile = stdtrit(len(values) - 1, (1 + LEVEL) / 2)
    return float(quantile * values.std(ddof=1) / sqrt(len(values)))


def gains(
    study: Study,
    name: str,
    metrics: pd.DataFrame,
    selected: pd.DataFrame,
) -> pd.DataFrame:
    """Accuracy of each cell and its gain over the table's baseline with the same seeds.

    Runs of one seed share subset, order, augmentation and head, so the differences are paired.

    Args:
        study: the study.
        name: of a table of kind ``gains``; its ``baseline`` is a method.
        metrics: as ``gta.results.read_collected`` gives them.
        selected: as ``gta.tables.select`` gives it.

    Returns:
        A row for each selection and cell: ``table, selection, dataset, source, method, mix, rate,
        lam, tuned, n, acc1_mean, acc1_half, gain_mean, gain_half, mass_mean, mass_half, chosen_at,
        missing``. Percent; the halves are half the width of a 95 % interval over seeds. A hole is
        NaN; the baseline has no gain.
    """
    import pandas as pd

    from gta.tables.order import cells_of, in_order

    baseline = study.tables[name].baseline
    cells = cells_of(study, name).merge(selected, on=CELL, how="left").to_dict("records")
    runs = metrics.set_index([*CELL, *POINT]).sort_values("seed").sort_index(kind="stable")
    twins = {tuple(cell[f] for f in PLACE): cell for cell in cells if cell["method"] == baseline}
    rows: list[dict[Any, Any]] = []
    for cell in cells:
        own = _seeds(runs, cell)
        twin = twins[tuple(cell[field] for field in PLACE)]
        gained = (own["acc1"] - _seeds(runs, twin)["acc1"]).dropna()
        if cell["method"] == baseline:
            gained = gained.iloc[:0]
        measured = {"acc1": own["acc1"], "gain": gained, "mass": 100 * own["attention_mass"]}
        row = {**cell, "table": name}
        for measure, values in measured.items():
            numbers = values.dropna().to_numpy()
            row[f"{measure}_mean"] = numbers.mean() if len(numbers) else nan
            row[f"{measure}_half"] = half_width(numbers)
        rows.append(row)
    columns = ["table", "selection", "dataset", "source", "method", "mix", "rate", *POINT, "n"]
    columns += [f"{m}_{part}" for m in ("acc1", "gain", "mass") for part in ("mean", "half")]
    return in_order(study, name, pd.DataFrame(rows))[[*columns, "chosen_at", "missing"]]


def _seeds(runs: pd.DataFrame, cell: Mapping[Any, Any]) -> pd.DataFrame:
    """The runs of a cell at its lambda, by seed; none in a hole."""
    if cell["lam"] != cell["lam"]:  # NaN
        return runs.iloc[:0].set_index("seed")
    return runs.loc[[tuple(cell[field] for field in [*CELL, *POINT])]].set_index("seed")


def gains_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``gains`` returns, a block for each selection."""
    from gta.tables.layout import CHOSEN_BY, Cell, Page, choice, grid, title_of
    from gta.tables.notes import choice_remarks, hole_remarks, recipe_note

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)

    def accuracy(row: Any) -> Cell:
        chosen, text = choice(study, row, row.method)
        return Cell(row.acc1_mean, row.acc1_half, notes=page.note(text), **chosen)

    columns = {
        "Accuracy": accuracy,
        f"Gain over {title_of(study, 'method', spec.baseline)}": lambda row: Cell(
            row.gain_mean, row.gain_half, form="+.2f"
        ),
        "Attention mass": lambda row: Cell(row.mass_mean, row.mass_half),
    }
    down = [*spec.groups, *spec.rows]
    chosen = any(len(study.methods.points(method)) > 1 for method in table["method"].unique())
    for selection, rows in table.groupby("selection", sort=False):
        title = CHOSEN_BY[str(selection)] if chosen else ""
        page.blocks.append((title, grid(study, rows, down, spec.columns, columns)))
        if not chosen:  # one lambda a method: both rules say the same
            break
    page.remarks.append(
        f"Mean ± half the width of Student's 95 % interval over {len(study.config.seeds)} run "
        "seeds; gains are differences between runs of one seed."
    )
    page.remarks.extend(hole_remarks(table))
    page.remarks.extend(choice_remarks(study, table["method"]))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page
