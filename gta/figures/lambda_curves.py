"""Figure 4: accuracy over lambda, one panel a dataset, a line a sampling rate."""

from __future__ import annotations

from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gta.figures.style import MARKERS, colours, look

ACROSS = 3  # panels side by side
ENTRY = 1.3  # inches that an entry of the legend takes
INK = "0.15"
DASHES = (0, (4, 3))


def draw_over_lambda(
    points: pd.DataFrame, baseline: pd.DataFrame, name: str, lam_of: str = ""
) -> Figure:
    """Draw accuracy over lambda.

    Args:
        points: a row for each dataset, rate and lam, in the order of display: ``dataset, rate,
            lam, acc1_mean, acc1_std`` (percent); NaN means leave a gap and are named.
        baseline: fine-tuning: ``dataset, rate, acc1_mean``; a dashed line each.
        name: of the method whose lambda it is.
        lam_of: what lambda weighs, such as the reduction; empty where that is fixed.
    """
    datasets = list(dict.fromkeys(points["dataset"]))
    rates = list(dict.fromkeys(points["rate"]))
    across = min(ACROSS, len(datasets))
    down = ceil(len(datasets) / across)
    with look():
        figure = Figure(figsize=(2.9 * across + 0.6, 2.5 * down + 0.9), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for panel in axes[len(datasets) :]:
            panel.remove()
        for panel, dataset in zip(axes, datasets, strict=False):
            own = points[points["dataset"] == dataset]
            for colour, marker, rate in zip(
                colours(len(rates)), cycle(MARKERS), rates, strict=False
            ):
                _line(panel, own[own["rate"] == rate], colour, marker)
                reference = baseline[(baseline["dataset"] == dataset) & (baseline["rate"] == rate)]
                for mean in reference["acc1_mean"].dropna():
                    # the marker at its right end tells the rate in grey
                    end = {"marker": marker, "markevery": [1], "clip_on": False}
                    panel.axhline(mean, color=colour, linestyle=DASHES, linewidth=1.1, **end)
            _name_gaps(panel, own)
            _scale(panel, sorted(set(own["lam"])))
            panel.set_title(dataset)
        figure.supxlabel(f"λ ({lam_of})" if lam_of else "λ", fontsize=10)
        figure.supylabel("Top-1 accuracy (%)", fontsize=10)
        _legend(figure, rates, name, bool(baseline["acc1_mean"].notna().any()))
    return figure


def _line(panel: Axes, line: pd.DataFrame, colour: tuple[float, ...], marker: str) -> None:
    """Means, a band of one standard deviation, and a ring at the best."""
    line = line.sort_values("lam")
    x, mean = line["lam"].to_numpy(), line["acc1_mean"].to_numpy()
    std = line["acc1_std"].fillna(0.0).to_numpy()
    panel.plot(x, mean, color=colour, marker=marker)
    panel.fill_between(x, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0)
    if not np.isnan(mean).any():
        best = int(mean.argmax())
        panel.plot(
            x[best],
            mean[best],
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=1.3,
            linestyle="none",
        )


def _name_gaps(panel: Axes, own: pd.DataFrame) -> None:
    gaps = own[own["acc1_mean"].isna()]
    if len(gaps):
        named = [f"λ {lam:g} at {rate:g} %" for rate, lam in gaps[["rate", "lam"]].to_numpy()]
        shown = ", ".join(named[:2]) + (f" and {len(named) - 2} more" if len(named) > 2 else "")
        panel.set_xlabel(f"missing: {shown}", fontsize=7)


def _scale(panel: Axes, lambdas: list[float]) -> None:
    above_0 = [lam for lam in lambdas if lam > 0]
    if 0 in lambdas:
        panel.set_xscale("symlog", linthresh=min(above_0, default=1.0))
    else:
        panel.set_xscale("log")
    panel.set_xticks(lambdas, [f"{lam:g}" for lam in lambdas])
    panel.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, rates: list[float], name: str, with_baseline: bool) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{name}, {rate:g} %")
        for colour, marker, rate in zip(colours(len(rates)), cycle(MARKERS), rates, strict=False)
    ]
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 9,
        "markerfacecolor": "none",
        "linestyle": "none",
    }
    handles.append(Line2D([], [], color=INK, label="best λ", **ring))
    if with_baseline:
        handles.append(
            Line2D([], [], color=INK, linestyle=DASHES, linewidth=1.1, label="fine-tuning")
        )
    fitting = int(figure.get_figwidth() // ENTRY)
    rows = ceil(len(handles) / fitting)
    figure.legend(handles=handles, loc="outside upper center", ncols=ceil(len(handles) / rows))
