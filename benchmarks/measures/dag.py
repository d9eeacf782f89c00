"""`snakemake -n` of the paper's study, and of one ten times as large: CPU time."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, processes_cpu, seconds
from benchmarks.inputs import overlaid, programs
from benchmarks.machine import ROOT
from gta.study import Study

REPEATS = 3
SEEDS = 3  # of paper.yaml


def measure(repeats: int) -> list[Figure]:
    """Whole processes in a folder without results, so that every job is to be run."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").symlink_to(ROOT / "config")
        rows = []
        for figure, times, goal, most in (("dag", 1, 5.0, repeats), ("dag_tenfold", 10, 30.0, 1)):
            seeds = list(range(times * SEEDS))
            config = overlaid("paper.yaml", folder, study=f"paper{times}", seeds=seeds, pack=[])
            dry_run = partial(_dry_run, config, folder)
            values = tuple(seconds(dry_run, processes_cpu) for _ in range(min(repeats, most)))
            runs = len(Study.load([config]).runs)
            what = f"`snakemake -n` of {runs:,} training jobs: CPU time"
            rows.append(Figure(figure, what, values, goal, unit="s"))
        return rows


def _dry_run(config: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--directory", str(folder)]
    subprocess.run(
        [*command, "--configfile", str(config)],
        cwd=ROOT,
        env=programs(),
        check=True,
        capture_output=True,
    )
