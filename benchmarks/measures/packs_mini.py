"""Packs of the embedded study against separate jobs: whole processes on one core."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, in_turn
from benchmarks.inputs import overlaid, programs, working_folder
from gta.study import Study

REPEATS = 1
SLOW = "six minutes"
WIDEST = ["source", "method", "mix", "lam"]  # mini's own
JOB = {"dataset": "mini_far", "rate": "15", "seed": "0"}


def measure(repeats: int) -> list[Figure]:
    """Jobs as the workflow starts them, data and sources prepared."""
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store") as folder:
        config = str(overlaid("mini.yaml", folder))
        _gta("data", "prepare", JOB["dataset"], "--config", config)
        for source in Study.load([config]).config.sources.values():
            _gta("source", "prepare", source, "--config", config)
        lambdas = {**JOB, "source": "tiny_ibot", "method": "gta", "mix": "none"}
        whole = "all runs of a dataset, rate and seed"
        return [
            _row("pack_mini_lambdas", "4 lambdas of GTA", ["lam"], lambdas, 0.5, repeats),
            _row("pack_mini", whole, WIDEST, JOB, 0.35, repeats),
        ]


def _row(
    name: str,
    what: str,
    packed: Sequence[str],
    fields: Mapping[str, str],
    goal: float,
    repeats: int,
) -> Figure:
    attempts = count()  # results of each in a folder of its own: nothing is done already

    def train(jobs: Iterable[Sequence[str]]) -> None:
        study = f"{name}{next(attempts)}"
        config = overlaid("mini.yaml", Path.cwd(), study=study, pack=list(packed))
        for job in jobs:
            _gta("train", *job, "--config", str(config), "--threads", "1")

    study = Study.load([overlaid("mini.yaml", Path.cwd(), pack=list(packed))])
    pack = study.pack(fields)
    pairs = in_turn(
        lambda: train([["--pack", pack.name]]),
        lambda: train([run.name] for run in pack.runs),
        repeats,
        warm=False,
    )
    together, apart = (median(seconds) for seconds in zip(*pairs, strict=True))
    return Figure(
        name,
        f"mini, whole jobs on one core: {what} ({len(pack.runs)} runs) in one pack / one by one",
        tuple(first / second for first, second in pairs),
        goal,
        detail=f"{together:.0f} s / {apart:.0f} s",
    )


def _gta(*arguments: str) -> None:
    subprocess.run(["gta", *arguments], env=programs(), check=True, capture_output=True)
