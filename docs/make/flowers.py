"""Writes docs/flowers.md and its pictures from the results of config/flowers.yaml.

Words stand in docs/make/flowers.head.md; every number comes from results/.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from docs.make import learning_rates, stamp
from docs.make.page import DOCS, fill, table_of
from gta import results
from gta.figures.style import look, save
from gta.results import read_part
from gta.study import RUN_FIELDS, Run, Study
from gta.tables import select
from gta.tables.intervals import measure_pairs, pairs_of
from gta.tables.kinds.gains import half_width

CONFIG = DOCS.parent / "config" / "flowers.yaml"
RATES = DOCS.parent / "config" / "flowers-lr.yaml"
HEAD = Path(__file__).with_name("flowers.head.md")
PAGE, COMMAND = DOCS / "flowers.md", "python -m docs.make flowers"
SOURCES = [Path(__file__), HEAD, Path(learning_rates.__file__), CONFIG, RATES]
CEILING = 99.0  # percent of a run's highest training accuracy that counts as the ceiling
SMOOTH = 20  # iterations over which training accuracy, of single batches, is averaged


@dataclass(frozen=True)
class Difference:
    """A mean difference with the ends of its 95 % interval; NaN where it is not known."""

    mean: float = nan
    low: float = nan
    high: float = nan

    @classmethod
    def of(cls, values: pd.Series[float]) -> Difference:
        """Of one value for each seed, with Student's interval; no interval below two seeds."""
        numbers = values.dropna().to_numpy()
        if not len(numbers):
            return cls()
        mean, half = float(numbers.mean()), half_width(numbers)
        return cls(mean, mean - half, mean + half)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero; 0 where it holds zero."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        if isnan(self.mean):
            return "-"
        ends = "" if isnan(self.low) else f" [{self.low:+z.1f}, {self.high:+z.1f}]"
        return f"{self.mean:+z.1f}{ends}"


VERDICTS = {1: "**supported**", -1: "**contradicted**", 0: "not decided"}


def verdict(difference: Difference, expected: int) -> str:
    """What an interval says of a claim on the sign of a difference."""
    if isnan(difference.mean):
        return "not run"
    return VERDICTS[difference.sign * expected]


def by_seed(metrics: pd.DataFrame, method: str, rate: float, lam: float) -> pd.DataFrame:
    """Accuracy and attention mass (percent) of a cell's runs, by seed."""
    found = metrics[
        (metrics["method"] == method) & (metrics["rate"] == rate) & (metrics["lam"] == lam)
    ].set_index("seed")
    return pd.DataFrame({"acc1": found["acc1"], "mass": 100 * found["attention_mass"]})


def gains(study: Study, metrics: pd.DataFrame) -> dict[tuple[str, float, float], Difference]:
    """Accuracy less fine-tuning's of each cell that has all seeds, by method, rate and lambda.

    The interval is the two-way one, over seeds and test images (``gta.tables.intervals``).
    """
    measured = measure_pairs(study, pairs_of(study, metrics)).to_pylist()
    return {
        (row["method"], row["rate"], row["lam"]): Difference(row["gain"], row["low"], row["high"])
        for row in measured
    }


def chosen_lam(selected: pd.DataFrame, method: str, rate: float) -> float:
    """The lambda that held-out accuracy chose; NaN where it could not."""
    rows = selected[
        (selected["selection"] == "heldout")
        & (selected["method"] == method)
        & (selected["rate"] == rate)
    ]
    return float(rows["lam"].iloc[0]) if len(rows) else nan


def claims(study: Study, metrics: pd.DataFrame, selected: pd.DataFrame, before: float) -> str:
    """The paper's claim and its mechanism, each with what the numbers say at every rate.

    Args:
        study: the study.
        metrics: of its runs.
        selected: the chosen lambdas.
        before: attention mass of the source before training, percent.
    """
    rows, gained = [], gains(study, metrics)
    for rate in study.config.rates:
        tuned = by_seed(metrics, "finetune", rate, 0.0)
        lam = chosen_lam(selected, "gta", rate)
        guided = by_seed(metrics, "gta", rate, lam)
        drift = Difference.of(tuned["mass"] - before)
        held = Difference.of(guided["mass"] - tuned["mass"])
        gain = gained.get(("gta", rate, lam), Difference())
        rows.append(
            {
                "rate": f"{rate:g} %",
                "λ": "-" if isnan(lam) else f"{lam:g} {study.methods.lam_of('gta')}",
                "seeds": str(len(tuned)),
                "fine-tuning moves attention off the flower": f"{verdict(drift, -1)} ({drift})",
                "GTA holds more of it there": f"{verdict(held, 1)} ({held})",
                "GTA is more accurate": f"{verdict(gain, 1)} ({gain})",
            }
        )
    return markdown(pd.DataFrame(rows))


def bought(study: Study, metrics: pd.DataFrame) -> str:
    """How accuracy and attention mass go together over GTA's lambdas, at each rate."""
    rows: list[dict[str, Any]] = []
    gained = gains(study, metrics)
    for rate in study.config.rates:
        tuned = by_seed(metrics, "finetune", rate, 0.0)
        for lam in study.grid("gta"):
            guided = by_seed(metrics, "gta", rate, lam)
            if guided.empty:
                continue
            rows.append(
                {
                    "rate": f"{rate:g} %",
                    "λ": f"{lam:g} {study.methods.lam_of('gta')}",
                    "seeds": str(len(guided)),
                    "accuracy less fine-tuning's": str(
                        gained.get(("gta", rate, lam), Difference())
                    ),
                    "mass less fine-tuning's": str(Difference.of(guided["mass"] - tuned["mass"])),
                }
            )
    return markdown(pd.DataFrame(rows))


def masses(study: Study, metrics: pd.DataFrame, before: float) -> str:
    """Attention mass before training and after, for every method and lambda."""
    table = metrics.assign(mass=100 * metrics["attention_mass"])
    order = {method: place for place, method in enumerate(study.methods)}
    groups = table.groupby(["method", "lam", "rate"])["mass"]
    cells = groups.apply(_mean_and_half).unstack("rate")
    cells = cells.reindex(sorted(cells.index, key=lambda key: (order[key[0]], key[1])))
    rows = [{"method": "Pre-trained", "λ": "", **{f"{r:g} %": f"{before:.1f}" for r in cells}}]
    for key, line in cells.iterrows():
        method, lam = cast(tuple[str, float], key)
        several = len(study.grid(method)) > 1
        row = {
            "method": study.methods[method].title,
            "λ": f"{lam:g} {study.methods.lam_of(method)}".rstrip() if several else "",
        }
        for rate, cell in line.items():
            row[f"{rate:g} %"] = cell if isinstance(cell, str) else "-"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _mean_and_half(values: pd.Series[float]) -> str:
    half = half_width(values.to_numpy())
    return f"{values.mean():.1f}" + ("" if isnan(half) else f" ± {half:.1f}")


def histories(study: Study, metrics: pd.DataFrame) -> Iterator[tuple[Run, pd.DataFrame]]:
    """The history of every run that is done."""
    for row in metrics[list(RUN_FIELDS)].to_dict("records"):
        run = Run(**{str(field): value for field, value in row.items()})
        yield run, read_part(study.run_files(run), "history").to_pandas()


def ceiling(study: Study, metrics: pd.DataFrame) -> str:
    """For how many iterations training accuracy was at its ceiling, by method."""
    rows: dict[tuple[str, float], list[float]] = {}
    for run, history in histories(study, metrics):
        smooth = history["train_acc1"].rolling(SMOOTH, min_periods=1).mean()
        rows.setdefault((run.method, run.rate), []).append(
            100 * float((smooth >= smooth.max() * CEILING / 100).mean())
        )
    shares = pd.Series({key: float(np.mean(values)) for key, values in rows.items()}).unstack()
    shares.index = [study.methods[method].title for method in shares.index]
    shares.columns = [f"{rate:g} %" for rate in shares.columns]
    return markdown(shares.map("{:.0f}".format).reset_index(names="method"))


def draw_curves(study: Study, metrics: pd.DataFrame, before: float, out: Path) -> None:
    """Attention mass of held-out images over the iterations, a panel a rate, means over seeds."""
    lines: dict[float, dict[tuple[str, float], list[pd.Series[float]]]] = {}
    for run, history in histories(study, metrics):
        seen = history.set_index("iteration")["heldout_attention_mass"].dropna()
        if len(seen):
            lines.setdefault(run.rate, {}).setdefault((run.method, run.lam), []).append(100 * seen)
    rates = [rate for rate in study.config.rates if rate in lines]
    order = {method: place for place, method in enumerate(study.methods)}
    keys = sorted(
        {key for panel in lines.values() for key in panel}, key=lambda k: (order[k[0]], k[1])
    )
    with look():
        figure = Figure(figsize=(2.9 * len(rates) + 0.6, 3.4), layout="constrained")
        axes = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
        for panel, rate in zip(axes, rates, strict=True):
            for place, key in enumerate(keys):
                runs = lines[rate].get(key)
                if not runs:
                    continue
                method, lam = key
                weighed = f" λ {lam:g}" if len(study.grid(method)) > 1 else ""
                mean = pd.concat(runs, axis=1).mean(axis=1)
                panel.plot(
                    mean.index + 1,
                    mean,
                    color=f"C{place}",
                    label=study.methods[method].title + weighed,
                )
            panel.set_title(f"{rate:g} %")
        figure.supxlabel("iterations", fontsize=10)
        figure.supylabel("attention on the flower, held-out images (%)", fontsize=9)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    for path in save(figure, out):
        if path.suffix != ".png":
            path.unlink()


def learning_rate_table(study: Study) -> str:
    """Held-out accuracy at each learning rate tried, the chosen ones in bold."""
    table = learning_rates.tried(study.name)
    chosen = learning_rates.choose(table)
    rates = sorted(table["lr"].unique())
    rows = []
    for method, own in table.groupby("method", sort=False):
        by_rate = own.set_index("lr")
        cells = {}
        for lr in rates:
            text = f"{by_rate.heldout_acc1[lr]:.1f}" if lr in by_rate.index else "-"
            cells[f"{lr:g}"] = f"**{text}**" if chosen[str(method)] == lr else text
        rows.append({"method": study.methods[str(method)].title, **cells})
    return markdown(pd.DataFrame(rows))


def machine(metrics: pd.DataFrame) -> str:
    """What it ran on, and for how long."""
    versions = json.loads(metrics["versions"].iloc[0])
    devices = ", ".join(sorted(metrics["device"].unique()))
    return (
        f"{len(metrics)} runs, {metrics['seconds'].sum() / 3600:.2f} hours of training on "
        f"{devices} ({metrics['precision'].iloc[0]}); torch {versions['torch']}, timm "
        f"{versions['timm']}; commit {metrics['git_commit'].iloc[0][:10]}."
    )


def pretrained_mass(study: Study) -> float:
    """Attention mass of the source on the test images' flowers, before training, percent."""
    measured = pd.read_parquet(study.folder / "segmentation.parquet")
    return 100 * float(measured[measured["method"].isna()]["attention_mass"].iloc[0])


def markdown(table: pd.DataFrame) -> str:
    """A table of words."""
    return table.to_markdown(index=False, disable_numparse=True)


def write(study: Study | None = None, page: Path = PAGE) -> None:
    """Write the page, and its pictures into ``images/`` beside it.

    Args:
        study: that of config/flowers.yaml.
        page: where to write.

    Raises:
        GtaError: if a result that it is made of is missing.
    """
    study = study or Study.load([CONFIG])
    metrics = results.read_collected(study)
    selected = select(study, metrics)
    before = pretrained_mass(study)
    images = page.parent / "images"
    images.mkdir(exist_ok=True)
    for name in ("figure4",):
        shutil.copy(study.folder / "figures" / f"{name}.png", images / f"flowers-{name}.png")
    draw_curves(study, metrics, before, images / "flowers-mass")
    parts = {
        "STAMP": stamp.head(COMMAND, SOURCES),
        "MACHINE": machine(metrics),
        "LEARNING RATES": learning_rate_table(study),
        "CLAIMS": claims(study, metrics, selected, before),
        "LAMBDAS": bought(study, metrics),
        "MASSES": masses(study, metrics, before),
        "CEILING": ceiling(study, metrics),
        **{
            f"TABLE {name}": re.sub("^#", "##", table_of(study, name), flags=re.MULTILINE)
            for name in ("flowers", "optimism")
        },
    }
    page.write_text(fill(HEAD, parts), encoding="utf-8")


if __name__ == "__main__":
    write()
