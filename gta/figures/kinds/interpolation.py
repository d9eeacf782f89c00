"""Figures of weights between the linear probe and finished runs: accuracy and attention mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gta.figures.kinds.base import FigureKind
from gta.study.kinds import Input
from gta.study.run import CELL, POINT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.study import Study
    from gta.study.tables import TableSpec
    from gta.tables import Collected

PROBE = "linear_probe"
MEASURES = {"acc1": "Top-1 accuracy (%)", "attention_mass": "Attention mass (%)"}


class Interpolation(FigureKind):
    """Means over seeds at each alpha of WiSE-FT, a line a method; a star is the soup of seeds.

    Lambda is chosen by held-out accuracy of the runs themselves.
    """

    name: ClassVar[str] = "interpolation"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "averages")
    weights: ClassVar[bool] = True

    def check(self, spec: TableSpec) -> None:
        """The linear probe is among its methods: the curves begin there."""
        if not any(PROBE in cells.method for cells in spec.cells):
            raise ValueError(f"kind interpolation needs {PROBE} among its methods")

    def content(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """A row for each point and alpha: ``CELL, POINT, alpha, n``, the measures, their ``_std``.

        Percent, by title, in the config's order; ``alpha`` is NaN for the soup.
        """
        import pandas as pd

        chosen = collected.selected
        chosen = chosen[chosen["selection"] == "heldout"][[*CELL, *POINT]]
        runs = {(r.dataset, r.source, r.method, r.mix, r.rate) for r in study.runs_of(name)}
        wanted = [cell in runs for cell in chosen[CELL].itertuples(index=False, name=None)]
        table = collected.averages.merge(chosen[wanted], on=[*CELL, *POINT])
        table["attention_mass"] *= 100
        place = ["dataset", "rate", "source", "method", "mix", *POINT, "alpha"]
        how = {"n": ("acc1", "size")}
        for measure in MEASURES:
            how |= {measure: (measure, "mean"), f"{measure}_std": (measure, "std")}
        points = table.groupby(place, dropna=False).agg(**how).reset_index()
        orders: dict[str, list[Any]] = {
            "dataset": study.config.datasets,
            "rate": study.config.rates,
            "method": list(study.methods),
        }
        for field, order in orders.items():
            points[field] = pd.Categorical(points[field], order, ordered=True)
        points = points.sort_values([*orders, "source", "mix", "alpha"], ignore_index=True)
        return points.assign(
            dataset=[study.dataset_info(dataset).title for dataset in points["dataset"]],
            method=[study.methods[method].title for method in points["method"]],
            rate=points["rate"].astype(float),
        )

    def draw(self, study: Study, name: str, content: pd.DataFrame) -> Figure:
        """A column a dataset and rate, a row a measure."""
        from matplotlib.figure import Figure

        from gta.figures.style import MARKERS, colours, look

        panels = list(content.groupby(["dataset", "rate"], sort=False))
        methods = list(dict.fromkeys(content["method"]))
        measures = [m for m in MEASURES if content[m].notna().any()]
        with look():
            size = 2.9 * max(1, len(panels)) + 0.6, 2.3 * len(measures) + 0.9
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.subplots(
                max(1, len(measures)), max(1, len(panels)), squeeze=False, sharex=True
            )
            lines = {}
            for row, measure in zip(axes, measures, strict=False):
                row[0].set_ylabel(MEASURES[measure])
                for axis, (_, rows) in zip(row, panels, strict=False):
                    for colour, method in zip(colours(len(methods)), methods, strict=True):
                        own = rows[rows["method"] == method]
                        curve, soups = own[own["alpha"].notna()], own[own["alpha"].isna()]
                        x, mean = curve["alpha"], curve[measure]
                        std = curve[f"{measure}_std"].fillna(0)
                        (lines[method],) = axis.plot(x, mean, color=colour, marker=MARKERS[0])
                        axis.fill_between(
                            x, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0
                        )
                        at = [1.0] * len(soups)
                        axis.plot(at, soups[measure], "*", color=colour, markersize=11)
            for axis, ((dataset, rate), _) in zip(axes[0], panels, strict=False):
                axis.set_title(f"{dataset}, {rate:g} %")
            figure.supxlabel("alpha (0: linear probe, 1: the run)", fontsize=10)
            if lines:
                figure.legend(
                    lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines)
                )
        return figure

    def numbers(self, study: Study, name: str, content: pd.DataFrame) -> pd.DataFrame:
        """A row a point."""
        return content
