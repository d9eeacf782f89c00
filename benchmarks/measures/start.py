"""What starts with every rule: CPU time before a job's own work begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, processes_cpu, seconds
from benchmarks.inputs import programs
from benchmarks.machine import ROOT

REPEATS = 5
COMMANDS = {
    # name: what, goal in seconds, command
    "start_command": ("a command of `gta` that needs no model", None, ["gta", "--version"]),
    "start_training": (
        "training: PyTorch, timm and torchvision imported",
        None,
        [sys.executable, "-c", "import gta.cli, gta.train"],
    ),
    "start_workflow": (
        "`snakemake -n` of mini, packed",
        3.0,
        [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--directory", "."],
    ),
}


def measure(repeats: int) -> list[Figure]:
    """Whole processes in a folder without results."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").symlink_to(ROOT / "config")
        (folder / "workflow").symlink_to(ROOT / "workflow")
        rows = []
        for name, (what, goal, command) in COMMANDS.items():

            def start(command: list[str] = command) -> None:
                subprocess.run(command, cwd=folder, env=programs(), check=True, capture_output=True)

            values = tuple(seconds(start, processes_cpu) for _ in range(repeats))
            rows.append(Figure(name, f"CPU time to start: {what}", values, goal, unit="s"))
        return rows
