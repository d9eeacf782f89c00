"""Writes docs/grocery.md and its picture from the results of config/grocery.yaml.

Words stand in docs/make/grocery.head.md; every number comes from results/.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from docs.make import stamp
from docs.make.page import DOCS, ROOT, fill, table_of
from gta import results
from gta.errors import GtaError
from gta.methods import METHODS
from gta.study import RUN_FIELDS, Run, Study

HEAD = Path(__file__).with_name("grocery.head.md")
CONFIG = ROOT / "config" / "grocery.yaml"
PAGE, COMMAND = DOCS / "grocery.md", "python -m docs.make grocery"
SOURCES = [Path(__file__), HEAD, CONFIG]
ORDER = ["rate", "method", "lam", "seed"]


def markdown(table: pd.DataFrame) -> str:
    """A table of numbers and words."""
    return table.to_markdown(index=False, floatfmt=".2f", disable_numparse=True)


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """Methods, lambdas and rates as readers see them."""
    pairs = zip(table.method, table.lam, strict=True)
    lam = [f"{lam:g}" if METHODS[method].grid else "" for method, lam in pairs]
    return table.assign(
        method=[METHODS[name].title for name in table.method],
        lam=lam,
        rate=[f"{rate:g} %" for rate in table.rate],
    ).rename(columns={"lam": "λ"})


def learning_rates() -> str:
    """Held-out accuracy of each rate tried, and how it went over the iterations."""
    rows = []
    for collected in sorted(Path("results").glob("grocery-lr-*/metrics.parquet")):
        folder = collected.parent
        lr = folder.name.removeprefix("grocery-lr-")
        for row in pd.read_parquet(collected).to_dict("records"):
            run = Run(**{field: row[field] for field in RUN_FIELDS}).name
            history = pd.read_parquet(folder / "history" / run / "part.parquet", partitioning=None)
            seen = history.dropna(subset="heldout_acc1").set_index("iteration")
            loss = history.set_index("iteration")["cross_entropy"].rolling(25).mean()
            rows.append(
                {
                    "learning rate": lr,
                    "method": METHODS[row["method"]].title,
                    "held-out accuracy": f"{row['heldout_acc1']:.2f}",
                    **{
                        f"after {at + 1}": f"{seen.heldout_acc1[at]:.1f} ({loss[at]:.2f})"
                        for at in seen.index
                    },
                }
            )
    rows.sort(key=lambda row: (row["method"], float(row["learning rate"])))
    return markdown(pd.DataFrame(rows))


def runs(metrics: pd.DataFrame) -> str:
    """Every run that was done."""
    table = titled(metrics.sort_values(ORDER))
    table["minutes"] = [f"{seconds / 60:.1f}" for seconds in table.seconds]
    for name in ("acc1", "heldout_acc1"):
        table[name] = [f"{value:.2f}" for value in table[name]]
    named = {"acc1": "test accuracy", "heldout_acc1": "held-out accuracy", "n_train": "images"}
    columns = ["rate", "method", "λ", "seed", *named, "minutes"]
    return markdown(table[columns].rename(columns=named))


def machine(metrics: pd.DataFrame) -> str:
    """What it ran on and for how long."""
    versions = json.loads(metrics.versions.iloc[0])
    hours = metrics.seconds.sum() / 3600
    return (
        f"{len(metrics)} runs, {hours:.1f} hours of training on {metrics.device.iloc[0]} threads "
        f"({metrics.precision.iloc[0]}), between {metrics.images_per_second.min():.0f} and "
        f"{metrics.images_per_second.max():.0f} images a second, peak memory "
        f"{metrics.peak_memory_mb.max() / 1024:.1f} GiB; torch {versions['torch']}, "
        f"timm {versions['timm']}; commit {metrics.git_commit.iloc[0][:10]}."
    )


def write() -> None:
    """Write the page, and copy its picture.

    Raises:
        GtaError: if a result that it is made of is missing.
    """
    study = Study.load([CONFIG])
    metrics = results.read_collected(study)
    picture = study.folder / "figures" / "figure1.png"
    if not picture.exists():
        raise GtaError(f"{picture}: missing; run `snakemake --configfile {CONFIG}` first")
    shutil.copy(picture, DOCS / "images" / "grocery-figure1.png")
    parts = {
        "STAMP": stamp.head(COMMAND, SOURCES),
        "MACHINE": machine(metrics),
        "LEARNING RATES": learning_rates(),
        "RUNS": runs(metrics),
        **{f"TABLE {name}": table_of(study, name) for name in study.tables},
    }
    PAGE.write_text(fill(HEAD, parts), encoding="utf-8")
