"""`gta collect` of runs whose files a training job left: CPU time a run, and memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import invented
from benchmarks.figures import Figure
from benchmarks.inputs import overlaid, programs, working_folder
from gta.study import Study

REPEATS = 3
SEEDS = 6  # twice paper.yaml's, all rates and methods
TABLES = ["table2", "table3", "table5", "table6", "tableA1"]  # of metrics alone


def measure(repeats: int) -> list[Figure]:
    """Whole processes; metrics, history and predictions of each run are read through."""
    with TemporaryDirectory() as name, working_folder(Path(name)) as folder:
        kept = {"keep_weights": "none", "tables": TABLES, "figures": [], "figure_settings": {}}
        config = overlaid("paper.yaml", folder, study="bench", seeds=list(range(SEEDS)), **kept)
        study = Study.load([config])
        invented.write_runs(study, study.runs)
        usages = [_usage(["gta", "collect", "--config", str(config)]) for _ in range(repeats)]
    runs = len(study.runs)
    seconds = [cpu for cpu, _ in usages]
    return [
        Figure(
            "collect",
            f"`gta collect` of {runs:,} runs, each with history and predictions: CPU time a run",
            tuple(1000 * cpu / runs for cpu in seconds),
            goal=2.0,
            unit="ms",
            detail=f"{min(seconds):.1f} s of CPU, start of the program included",
        ),
        Figure(
            "collect_memory",
            f"`gta collect` of {runs:,} runs: peak memory",
            tuple(memory for _, memory in usages),
            goal=1000,
            unit="MB",
        ),
    ]


def _usage(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process."""
    with subprocess.Popen(command, env=programs(), stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000
