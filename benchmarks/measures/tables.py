"""All tables, without intervals, from the collected metrics of a study; whole processes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import invented
from benchmarks.figures import Figure, processes_cpu, seconds
from benchmarks.inputs import overlaid, programs, working_folder
from gta import results
from gta.study import Study

REPEATS = 3
SEEDS = 3  # of paper.yaml
KINDS = ("accuracy", "agreement", "optimism")  # the others are not made of metrics alone


def measure(repeats: int) -> list[Figure]:
    """`gta table --write` of invented accuracies of the paper's study, with more seeds."""
    with TemporaryDirectory() as name, working_folder(Path(name)) as folder:
        rows = []
        for figure, times, goal in (("tables", 1, 2.0), ("tables_hundredfold", 100, 6.0)):
            seeds = list(range(times * SEEDS))
            config = overlaid("paper.yaml", folder, study=f"paper{times}", seeds=seeds)
            study = Study.load([config])
            results.write_collected(study, invented.collected(study))
            wanted = [name for name, spec in study.tables.items() if spec.kind in KINDS]
            command = ["gta", "table", *wanted, "--write", "--config", str(config)]

            def make(command: list[str] = command) -> None:
                subprocess.run(command, env=programs(), check=True, capture_output=True)

            values = tuple(seconds(make, processes_cpu) for _ in range(repeats))
            what = f"{len(wanted)} tables from metrics of {len(study.runs):,} runs: CPU time"
            rows.append(Figure(figure, what, values, goal, unit="s"))
        return rows
