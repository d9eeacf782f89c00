"""Tables of robustness: finished runs on corrupted test images, at their lambda."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.kinds import Input
from gta.study.run import IDENTITY
from gta.tables.kinds._tested import frame_of_tests
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.study.tables import TableSpec
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

PERCENT = 100.0
PLACE = ["dataset", "source", "mix", "rate", "seed"]  # of runs that are compared with each other
# Name and title of each number; all in percent, means over corruptions and severities but clean's.
MEASURES = {
    "clean_acc1": "Clean",
    "corrupted_acc1": "Corrupted",
    "relative_error": "mCE",
    "calibration_error": "Calibration error",
    "aurra": "AURRA",
    "clean_mass": "Attention mass",
    "corrupted_mass": "Attention mass, corrupted",
}


class Robustness(TableKind):
    """Accuracy, calibration and attention mass on corrupted test images."""

    name: ClassVar[str] = "robustness"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "robustness")
    weights: ClassVar[bool] = True
    axes: ClassVar[bool] = True
    number: ClassVar[tuple[str, str] | None] = ("corrupted_acc1", "corrupted_acc1_std")

    def check(self, spec: TableSpec) -> None:
        """The baseline is one of the table's methods."""
        methods = {method for cells in spec.cells for method in cells.method}
        if spec.baseline not in methods:
            raise ValueError(f"baseline: {spec.baseline!r} is not one of the table's methods")

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """A row for each selection and cell, a column for each of ``MEASURES`` and its ±.

        ``relative_error`` is the error under corruption in percent of the baseline's of the same
        seed. Means and deviations (ddof 1) over
        seeds.
        """
        from gta.tables.missing import UNTESTED

        runs = _by_run(collected.robustness, str(study.tables[name].baseline))
        return frame_of_tests(study, name, collected, runs, list(MEASURES), UNTESTED)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """A block for each selection."""
        from gta.tables.layout import CHOSEN_BY, Cell, Page, choice, grid, title_of
        from gta.tables.notes import choice_remarks, hole_remarks, recipe_note

        spec, settings = study.tables[name], study.config.robustness
        page = Page(name, spec.title, spec.caption)

        def first(row: Any) -> Cell:
            chosen, text = choice(study, row, row.method)
            return Cell(row.clean_acc1, row.clean_acc1_std, notes=page.note(text), **chosen)

        def number(measure: str, row: Any) -> Cell:
            return Cell(getattr(row, measure), getattr(row, f"{measure}_std"))

        shown = [m for m in MEASURES if frame[m].notna().any() or m == "clean_acc1"]
        columns: dict[str, Callable[[Any], Cell]] = {MEASURES[m]: partial(number, m) for m in shown}
        columns[MEASURES["clean_acc1"]] = first
        chosen = any(len(study.methods.points(method)) > 1 for method in frame["method"].unique())
        for selection, rows in frame.groupby("selection", sort=False):
            title = CHOSEN_BY[str(selection)] if chosen else ""
            down = [*spec.groups, *spec.rows, *spec.columns]
            page.blocks.append((title, grid(study, rows, down, [], columns)))
            if not chosen:  # one lambda a method: both rules say the same
                break
        seeds = ", ".join(map(str, study.config.seeds))
        page.remarks.append(f"Mean ± sample standard deviation over seeds {seeds}.")
        page.remarks.append(
            f"Corrupted: mean over {len(settings.corruptions)} corruptions of the test images at "
            f"severities {', '.join(map(str, settings.severities))} (ImageNet-C's without frost; "
            "lengths scale with the image). mCE: error under corruption in percent of "
            f"{title_of(study, 'method', spec.baseline)}'s, lower is better. Calibration error "
            "(root mean square, 15 bins of equal size) and AURRA (area under the response rate "
            "accuracy curve): on the corrupted images."
        )
        page.remarks.extend(hole_remarks(frame))
        page.remarks.extend(choice_remarks(study, frame["method"]))
        page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
        return page


def _by_run(measured: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A row a run with the numbers of ``MEASURES``, from ``gta.robustness.ROBUSTNESS``."""
    import pandas as pd

    clean = measured[measured["severity"] == 0].set_index(IDENTITY)
    corrupted = measured[measured["severity"] > 0]
    means = corrupted.groupby(IDENTITY)
    table = pd.DataFrame(
        {
            "clean_acc1": clean["acc1"],
            "corrupted_acc1": means["acc1"].mean(),
            "calibration_error": means["calibration_error"].mean(),
            "aurra": means["aurra"].mean(),
            "clean_mass": PERCENT * clean["attention_mass"],
            "corrupted_mass": PERCENT * means["attention_mass"].mean(),
        }
    ).reset_index()
    accuracy = corrupted.groupby([*IDENTITY, "corruption"])["acc1"].mean()
    errors = (100 - accuracy).unstack("corruption")
    identities = list(table[IDENTITY].itertuples(index=False, name=None))
    places = list(table[PLACE].itertuples(index=False, name=None))
    references = {
        place: errors.loc[identity]
        for identity, place, method in zip(identities, places, table["method"], strict=True)
        if method == baseline
    }
    table["relative_error"] = [
        relative_corruption_error(errors.loc[identity], references[place])
        if place in references
        else nan
        for identity, place in zip(identities, places, strict=True)
    ]
    return table


def relative_corruption_error(errors: pd.Series[float], reference: pd.Series[float]) -> float:
    """Mean over corruptions of the error in percent of a reference method's (mCE).

    Hendrycks and Dietterich, ICLR 2019, section 4.2, with the table's baseline in the place of
    AlexNet.

    Args:
        errors: by corruption, means over severities.
        reference: of the reference method, for the same corruptions.

    Returns:
        100 where both are equally wrong; NaN where the reference makes no error under some
        corruption.
    """
    return PERCENT * float((errors / reference.where(reference > 0)).mean(skipna=False))
