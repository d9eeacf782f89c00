"""Synthetic metrics, as ``gta.results.read_collected`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import pandas as pd
import pyarrow as pa

from gta.results import IDENTITY, METRICS
from gta.study import Run, Study


def acc1(run: Run) -> float:
    """GTA is best, at lambda 0.1 on test images and 1 on others; seeds lie 2 apart."""
    method = {"gta": 60.0, "bss": 20.0}.get(run.method, 40.0)
    return method + 2 * run.seed + (run.lam == 0.1)


def heldout(run: Run) -> float | None:
    return None if run.rate == 100 else run.lam


def metrics_frame(
    study: Study,
    acc1: Callable[[Run], float],
    heldout: Callable[[Run], float | None],
    without: Container[Run] = (),
) -> pd.DataFrame:
    """A row for each run of the study but those ``without``."""
    rows = [
        {field: getattr(run, field) for field in IDENTITY.names}
        | {"acc1": acc1(run), "heldout_acc1": heldout(run)}
        for run in study.runs
        if run not in without
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*IDENTITY, *METRICS])).to_pandas()


def measured_frame(study: Study, without: frozenset[Run] = frozenset()) -> pd.DataFrame:
    """Jaccard .2 plus a tenth of the seed, plus lambda; pre-trained .5."""
    rows: list[dict[str, Any]] = []
    measures = ("jaccard", "matched_jaccard", "attention_mass")
    for protocol, mass in (("sar", 0.6), ("ipvit", 0.9)):
        how = {"protocol": protocol, "mass": mass, "heads": "best", "ignore_void": False}
        for dataset in study.config.datasets:
            values = dict.fromkeys(measures, 0.5)
            rows.append({"source": "tiny_ibot", "evaluated_on": dataset, **how, **values})
        for run in sorted(study.runs_of("table4") - without):
            values = dict.fromkeys(measures, 0.2 + run.seed / 10 + run.lam / 100)
            rows.append({**vars(run), "evaluated_on": run.dataset, **how, **values})
    return pd.DataFrame(rows)
