"""Figures of accuracy over lambda: one panel a dataset, a line a sampling rate (figure 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from gta.figures.kinds.base import FigureKind
from gta.study.run import CELL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.study import Run, Study
    from gta.study.tables import TableSpec
    from gta.tables import Collected


class Curves(NamedTuple):
    """Numbers of the figure.

    Attributes:
        points: ``dataset, rate, lam, acc1_mean, acc1_std`` and more, a row a point.
        baseline: the same of fine-tuning.
        method: title of the method whose lambda it is.
        lam: how its lambda is read.
    """

    points: pd.DataFrame
    baseline: pd.DataFrame
    method: str
    lam: str


class LambdaCurves(FigureKind):
    """Mean accuracy over seeds at each lambda of one method, and fine-tuning's.

    What else is tuned stands at its best, by test accuracy.
    """

    name: ClassVar[str] = "lambda"

    def check(self, spec: TableSpec) -> None:
        """One source, method and mix."""
        lines = {
            (source, method, mix)
            for cells in spec.cells
            for source in cells.source
            for method in cells.method
            for mix in cells.mix
        }
        if len(lines) != 1 or spec.extra:
            raise ValueError(
                "kind lambda draws one source, method and mix; declare a figure for each"
            )

    def check_study(self, study: Study, name: str) -> None:
        """Its method has a lambda."""
        for method in sorted({run.method for run in study.runs_of(name)}):
            if study.grid(method) == (0.0,):
                raise ValueError(f"kind lambda draws accuracy over λ, and {method} has none")

    def content(self, study: Study, name: str, collected: Collected) -> Curves:
        """The means over seeds that the figure shows."""
        from gta.tables import gather, over_lambda

        # with `tune`, seeds that have all lambdas: a curve is over the same seeds throughout
        seeds = study.config.seeds if study.config.tune is None else study.config.tune.seeds
        runs = {run for run in study.runs_of(name) if run.seed in seeds}
        ((source, method, mix),) = {(run.source, run.method, run.mix) for run in runs}
        places = {(run.dataset, run.rate) for run in runs}

        def is_baseline(run: Run) -> bool:
            line = run.method, run.source, run.mix
            place = run.dataset, run.rate
            return line == ("finetune", source, mix) and place in places and run.seed in seeds

        tuned = filter(is_baseline, study.runs)
        points, baseline = (
            _in_order(study, _best(over_lambda(gather(sorted(some), collected.metrics))))
            for some in (runs, tuned)
        )
        return Curves(points, baseline, study.methods[method].title, study.methods.lam_of(method))

    def draw(self, study: Study, name: str, content: Curves) -> Figure:
        """As ``draw_over_lambda`` draws it."""
        from gta.figures.lambda_curves import draw_over_lambda

        return draw_over_lambda(*content)

    def numbers(self, study: Study, name: str, content: Curves) -> pd.DataFrame:
        """A row a point, fine-tuning's after the method's."""
        import pandas as pd

        return pd.concat([content.points, content.baseline], ignore_index=True)


def _best(points: pd.DataFrame) -> pd.DataFrame:
    """Each lambda at the best of what is tuned beside it, by mean test accuracy."""
    best = points.sort_values("acc1_mean", ascending=False, kind="stable", na_position="last")
    return best.drop_duplicates([*CELL, "lam"])


def _in_order(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Points in the config's order of datasets and rates, datasets by title."""
    config = study.config
    ranked = points.assign(
        first=points["dataset"].map(config.datasets.index),
        second=points["rate"].map(config.rates.index),
    )
    points = points.loc[ranked.sort_values(["first", "second", "lam"]).index]
    titles = {dataset: study.dataset_info(dataset).title for dataset in config.datasets}
    return points.assign(dataset=points["dataset"].map(titles)).reset_index(drop=True)
