"""Synthetic metrics, as ``gta.results.read_collected`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Container

import pandas as pd
import pyarrow as pa

from gta.results import IDENTITY, METRICS
from gta.study import RUN_FIELDS, Run, Study


def metrics_frame(
    study: Study,
    acc1: Callable[[Run], float],
    heldout: Callable[[Run], float | None],
    without: Container[Run] = (),
) -> pd.DataFrame:
    """A row for each run of the study but those ``without``."""
    rows = [
        {field: getattr(run, field) for field in RUN_FIELDS}
        | {"acc1": acc1(run), "heldout_acc1": heldout(run)}
        for run in study.runs
        if run not in without
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*IDENTITY, *METRICS])).to_pandas()
