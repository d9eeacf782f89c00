"""The first look at the embedded study, as `make quick` runs it after installation."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, processes_cpu
from benchmarks.inputs import programs
from benchmarks.machine import ROOT, cores

REPEATS = 1
CONFIGS = [str(ROOT / "config" / name) for name in ("mini.yaml", "mini-quick.yaml")]


def measure(repeats: int) -> list[Figure]:
    """From nothing prepared to table, figure and page."""
    walls, used = [], []
    for _ in range(repeats):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "config").symlink_to(ROOT / "config")
            begin, before = time.perf_counter(), processes_cpu()
            command = [sys.executable, "-m", "snakemake", "--directory", str(folder)]
            environment = {k: v for k, v in programs().items() if k != "GTA_STORE"}
            subprocess.run(
                [*command, "--configfile", *CONFIGS],
                cwd=ROOT,
                env=environment,
                check=True,
                capture_output=True,
            )
            walls.append(time.perf_counter() - begin)
            used.append(processes_cpu() - before)
    return [
        Figure("quick_wall", f"quick study on {cores()} cores", tuple(walls), goal=90, unit="s"),
        Figure("quick_cpu", "quick study: CPU time of all its processes", tuple(used), unit="s"),
    ]
