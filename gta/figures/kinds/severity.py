"""Figures of accuracy over the severity of corruptions: a panel a dataset and rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gta.figures.kinds.base import FigureKind
from gta.study.kinds import Input
from gta.study.run import CELL, POINT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.study import Study
    from gta.tables import Collected

ACROSS = 3  # panels side by side


class Severity(FigureKind):
    """Mean accuracy over corruptions and seeds at each severity, a line a method.

    Lambda is chosen by held-out accuracy.
    """

    name: ClassVar[str] = "severity"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "robustness")
    weights: ClassVar[bool] = True

    def content(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """``dataset, rate, method, severity, acc1, acc1_std`` by title, in the config's order."""
        import pandas as pd

        chosen = collected.selected
        chosen = chosen[chosen["selection"] == "heldout"][[*CELL, *POINT]]
        runs = {(r.dataset, r.source, r.method, r.mix, r.rate) for r in study.runs_of(name)}
        wanted = [cell in runs for cell in chosen[CELL].itertuples(index=False, name=None)]
        table = collected.robustness.merge(chosen[wanted], on=[*CELL, *POINT])
        place = ["dataset", "rate", "source", "method", "mix", "severity"]
        seeds = table.groupby([*place, "seed"])["acc1"].mean().groupby(place)
        points = pd.DataFrame({"acc1": seeds.mean(), "acc1_std": seeds.std()}).reset_index()
        orders: dict[str, list[Any]] = {
            "dataset": study.config.datasets,
            "rate": study.config.rates,
            "method": list(study.methods),
        }
        for field, order in orders.items():
            points[field] = pd.Categorical(points[field], order, ordered=True)
        points = points.sort_values([*orders, "source", "mix", "severity"], ignore_index=True)
        return points.assign(
            dataset=[study.dataset_info(dataset).title for dataset in points["dataset"]],
            method=[study.methods[method].title for method in points["method"]],
            rate=points["rate"].astype(float),
        )

    def draw(self, study: Study, name: str, content: pd.DataFrame) -> Figure:
        """Accuracy over severity; severity 0 is the clean image."""
        from itertools import cycle
        from math import ceil

        from matplotlib.figure import Figure

        from gta.figures.style import MARKERS, colours, look

        panels = list(content.groupby(["dataset", "rate"], sort=False))
        methods = list(dict.fromkeys(content["method"]))
        across = min(ACROSS, max(1, len(panels)))
        down = ceil(max(1, len(panels)) / across)
        with look():
            figure = Figure(figsize=(2.9 * across + 0.6, 2.4 * down + 0.9), layout="constrained")
            axes = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
            for axis in axes[len(panels) :]:
                axis.remove()
            lines = {}
            for axis, ((dataset, rate), rows) in zip(axes, panels, strict=False):
                for colour, marker, method in zip(
                    colours(len(methods)), cycle(MARKERS), methods, strict=False
                ):
                    own = rows[rows["method"] == method]
                    x, mean, std = own["severity"], own["acc1"], own["acc1_std"].fillna(0)
                    (lines[method],) = axis.plot(x, mean, color=colour, marker=marker)
                    axis.fill_between(
                        x, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0
                    )
                axis.set_title(f"{dataset}, {rate:g} %")
            figure.supxlabel("Severity (0: clean)", fontsize=10)
            figure.supylabel("Top-1 accuracy (%)", fontsize=10)
            figure.legend(
                lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines)
            )
        return figure

    def numbers(self, study: Study, name: str, content: pd.DataFrame) -> pd.DataFrame:
        """A row a point."""
        return content
