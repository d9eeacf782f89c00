"""Disk space of a study's files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gta.plan.sizes import heldout_of, picture_of
from gta.plan.work import Estimator
from gta.results import Kind, schema
from gta.study import Run, Study

FLOAT32 = 4  # bytes
RGB = 3
DIGEST = "0" * 64
# As long as they are in practice, for a row of metrics.
WORDS = {"device": "NVIDIA A100-SXM4-80GB", "precision": "bfloat16", "versions": DIGEST * 2}


@dataclass(frozen=True)
class Space:
    """Files of a kind.

    Attributes:
        kind: what they are.
        files: how many files or folders there will be.
        bytes: of all of them; an estimate.
        here: bytes of those that are there.
    """

    kind: str
    files: int
    bytes: int
    here: int


def disk(estimator: Estimator) -> list[Space]:
    """Disk space of a study, expected and present: results of runs, datasets, sources.

    Parquet files are estimated by writing random ones to memory; they pack worse than real ones.

    Raises:
        GtaError: if a store is damaged or a recipe does not suit its architecture.
    """
    study = estimator.study
    spaces = [
        _of_runs(study, "metrics", study.runs, lambda run: _parquet("metrics", 1, 2)),
        _of_runs(study, "history", study.runs, lambda run: _history(study, run)),
        _of_runs(study, "predictions", study.runs, lambda run: _predictions(estimator, run)),
    ]
    keepers = tuple(filter(study.keeps_weights, study.runs))
    spaces.append(_of_runs(study, "models", keepers, lambda run: _weights(estimator, run)))
    here = {dataset: _here(study.store(dataset)) for dataset in estimator.sizes}
    expected = sum(there or _store(estimator, dataset) for dataset, there in here.items())
    spaces.append(Space("prepared datasets", len(here), expected, sum(here.values())))
    return [*spaces, _sources(estimator)]


def _of_runs(study: Study, kind: str, runs: tuple[Run, ...], size: Callable[[Run], int]) -> Space:
    here = [_here(study.run_files(run).path(kind)) for run in runs]
    expected = sum(there or size(run) for there, run in zip(here, runs, strict=True))
    return Space(kind, len(runs), expected, sum(here))


def _here(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 where there is none."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _history(study: Study, run: Run) -> int:
    return _parquet("history", study.recipe(run).iterations, 2)


def _predictions(estimator: Estimator, run: Run) -> int:
    size = estimator.sizes[run.dataset]
    if size is None:
        return 0
    rows = size.test + heldout_of(estimator.study, run, size)
    return _parquet("predictions", rows, size.classes)


@cache
def _parquet(kind: Kind, rows: int, classes: int) -> int:
    """Bytes of a file of random rows."""
    random = np.random.default_rng(0)

    def column(field: pa.Field) -> Any:
        if pa.types.is_floating(field.type):
            return pa.array(random.random(rows)).cast(field.type)
        if pa.types.is_integer(field.type):
            ordered = field.name in ("index", "iteration")
            numbers = np.arange(rows) if ordered else random.integers(classes, size=rows)
            return pa.array(numbers).cast(field.type)
        if pa.types.is_boolean(field.type):
            return pa.array([False] * rows)
        if pa.types.is_timestamp(field.type):
            return pa.array([0] * rows, field.type)
        return pa.array([WORDS.get(field.name, DIGEST)] * rows).cast(field.type)

    columns = schema(kind)
    table = pa.table([column(field) for field in columns], schema=columns)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.tell()


def _weights(estimator: Estimator, run: Run) -> int:
    return FLOAT32 * sum(parameter.numel() for parameter in estimator.model(run).parameters())


def _sources(estimator: Estimator) -> Space:
    study = estimator.study
    users = {run.source: run for run in study.runs}
    here = {source: _here(study.weights(source)) for source in users}
    expected = sum(here[source] or _weights(estimator, run) for source, run in users.items())
    return Space("prepared sources", len(users), expected, sum(here.values()))


def _store(estimator: Estimator, dataset: str) -> int:
    """Bytes of a store that is not there yet; 0 where its size is not known."""
    size = estimator.sizes[dataset]
    if size is None:
        return 0
    height, width = picture_of(estimator.study, dataset)
    masks = estimator.study.dataset_info(dataset).masks
    return size.images * height * width * (RGB + masks)
