"""Results of a study that nobody trained: files as runs leave them, with random accuracies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gta import results
from gta.results import Kind, schema
from gta.study import Run, Study
from gta.study.run import IDENTITY

ITERATIONS, IMAGES, CLASSES = 80, 1240, 10  # of a run of mini, test and held-out images together
TEXTS = {
    "device": "cpu x 2",
    "precision": "float32",
    "data_digest": "0" * 64,
    "source_digest": "1" * 64,
    # as long as those of a run
    "versions": json.dumps({"python": "3.11.7", "torch": "2.14.1", "timm": "1.0.31"}),
    "git_commit": "0123456789abcdef",
    "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def collected(study: Study) -> pa.Table:
    """Metrics of all runs of a study as one table; what tables do not read is null."""
    runs = study.runs
    acc1 = np.random.default_rng(0).uniform(20, 90, len(runs)).tolist()
    heldout = [None if run.rate == 100 else value for run, value in zip(runs, acc1, strict=True)]
    columns: dict[str, list[Any]] = {f: [getattr(run, f) for run in runs] for f in IDENTITY}
    columns |= {"acc1": acc1, "heldout_acc1": heldout}
    columns |= {"recipe_digest": [study.digest(run) for run in runs]}
    whole = pa.schema([*results.IDENTITY, *results.METRICS])
    nothing = [None] * len(runs)
    arrays = [pa.array(columns.get(field.name, nothing), field.type) for field in whole]
    return pa.table(arrays, schema=whole)


def write_runs(study: Study, runs: Iterable[Run]) -> None:
    """Write metrics, history and predictions of runs where their training jobs would."""
    random = np.random.default_rng(0)
    history, predictions = _history(random), _predictions(random)
    for run in runs:
        row = _row(study, run, random.uniform(20, 90))
        _write(study, "metrics", run, pa.Table.from_pylist([row], schema=schema("metrics")))
        _write(study, "history", run, history)
        _write(study, "predictions", run, predictions)


def _row(study: Study, run: Run, accuracy: float) -> dict[str, Any]:
    numbers = {field.name: 1 for field in results.METRICS if field.name not in TEXTS}
    heldout = None if run.rate == 100 else accuracy
    judged = {"acc1": accuracy, "heldout_acc1": heldout, "recipe_digest": study.digest(run)}
    return {**numbers, **TEXTS, **judged}


def _history(random: np.random.Generator) -> pa.Table:
    rows = [
        {"iteration": iteration, "lr": 1e-3, "cross_entropy": random.random()}
        for iteration in range(ITERATIONS)
    ]
    return pa.Table.from_pylist(rows, schema=schema("history"))


def _predictions(random: np.random.Generator) -> pa.Table:
    classes = random.integers(CLASSES, size=(2, IMAGES))
    columns = [["test"] * IMAGES, range(IMAGES), *classes, random.random(IMAGES)]
    arrays = [
        pa.array(column).cast(field.type)
        for column, field in zip(columns, schema("predictions"), strict=True)
    ]
    return pa.table(arrays, schema=schema("predictions"))


def _write(study: Study, kind: Kind, run: Run, table: pa.Table) -> None:
    """As ``gta.results.write``, without waiting for the disk."""
    path = study.run_files(run).path(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    named = table.replace_schema_metadata({"run": run.name})
    pq.write_table(named, path, write_page_checksum=True)
