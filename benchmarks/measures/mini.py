"""The embedded study as a whole, as `make mini` runs it after installation."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.figures import Figure, seconds
from benchmarks.inputs import programs
from benchmarks.machine import ROOT, cores

REPEATS = 1
SLOW = "a quarter of an hour"


def measure(repeats: int) -> list[Figure]:
    """From nothing prepared to the report."""
    shares, walls, trainings = [], [], []
    for _ in range(repeats):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "config").symlink_to(ROOT / "config")
            study = seconds(partial(_snakemake, folder))
            report = seconds(partial(_snakemake, folder, "--report", "report.html"))
            metrics = pd.read_parquet(folder / "results" / "mini" / "metrics.parquet")
        trainings.append(float(metrics["seconds"].sum()))
        shares.append(study / (trainings[-1] / cores()))
        walls.append(study + report)
    detail = f"{len(metrics)} runs, {trainings[0]:.0f} s of training on {cores()} cores"
    return [
        Figure(
            "mini_overhead",
            "mini: wall clock / (sum of training time / cores)",
            tuple(shares),
            goal=1.25,
            detail=detail,
        ),
        Figure("mini_wall", "mini and its report", tuple(walls), goal=500, unit="s"),
    ]


def _snakemake(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), *arguments]
    environment = {k: v for k, v in programs().items() if k != "GTA_STORE"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
