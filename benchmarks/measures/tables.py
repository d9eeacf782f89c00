"""All tables, without intervals, from the collected metrics of a study; whole processes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.figures import Figure, processes_cpu, seconds
from benchmarks.inputs import overlaid, programs, working_folder
from gta import results
from gta.study import RUN_FIELDS, Study

REPEATS = 3
SEEDS = 3  # of paper.yaml
KINDS = ("accuracy", "agreement", "optimism")  # the others are not made of metrics alone


def measure(repeats: int) -> list[Figure]:
    """`gta table --write` of invented accuracies of the paper's study, with more seeds."""
    with TemporaryDirectory() as name, working_folder(Path(name)) as folder:
        rows = []
        for figure, times, goal in (("tables", 1, 3.0), ("tables_hundredfold", 100, 30.0)):
            seeds = list(range(times * SEEDS))
            config = overlaid("paper.yaml", folder, study=f"paper{times}", seeds=seeds)
            study = Study.load([config])
            results.write_collected(study, _invented(study))
            wanted = [name for name, spec in study.tables.items() if spec.kind in KINDS]
            command = ["gta", "table", *wanted, "--write", "--config", str(config)]

            def make(command: list[str] = command) -> None:
                subprocess.run(command, env=programs(), check=True, capture_output=True)

            before = processes_cpu()
            values = tuple(seconds(make) for _ in range(repeats))
            cpu = f"{(processes_cpu() - before) / repeats:.1f} s of CPU"
            what = f"{len(wanted)} tables from metrics of {len(study.runs):,} runs"
            rows.append(Figure(figure, what, values, goal, unit="s", detail=cpu))
        return rows


def _invented(study: Study) -> pa.Table:
    """Metrics of all runs; accuracies are random, nothing else of them is looked at."""
    rng = np.random.default_rng(0)
    runs = study.runs
    acc1 = rng.uniform(20, 90, len(runs)).tolist()
    heldout = [None if run.rate == 100 else value for run, value in zip(runs, acc1, strict=True)]
    columns: dict[str, list[Any]] = {f: [getattr(run, f) for run in runs] for f in RUN_FIELDS}
    columns |= {"acc1": acc1, "heldout_acc1": heldout}
    columns |= {"recipe_digest": [study.digest(run) for run in runs]}
    schema = pa.schema([*results.IDENTITY, *results.METRICS])
    nothing = [None] * len(runs)
    arrays = [pa.array(columns.get(field.name, nothing), field.type) for field in schema]
    return pa.table(arrays, schema=schema)
