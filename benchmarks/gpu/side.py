"""Jobs side by side on one card, each a process of its own, all timed over the same seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.jobs import FEWEST, Case, EnoughError
from benchmarks.gpu.scale import PAPER, SMALL, TINY, Data, Scale
from benchmarks.machine import ROOT, cores
from gta.study import Run
from gta.train import train_runs

SCALES = {scale.architecture: scale for scale in (PAPER, SMALL, TINY)}
TIMEOUT = 120


def measure(scale: Scale, processes: int, device: str, seconds: float) -> dict[str, Any]:
    """Training images a second of all processes together, once all of them train."""
    folder = Path(f"side{processes}").resolve()
    folder.mkdir()
    threads = max(1, cores() // processes)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GTA_STORE": "../side-store",
        "OMP_NUM_THREADS": str(threads),
    }
    if not Path("side-store").exists():
        _data(scale)
    command = [sys.executable, "-m", "benchmarks.gpu.side", scale.architecture, device]
    jobs = [
        subprocess.Popen(
            [*command, str(seconds), str(processes), str(number)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        rates = [float(job.communicate(timeout=TIMEOUT)[0].split()[-1]) for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    return {"images_per_second": sum(rates), "threads": threads}


def _data(scale: Scale) -> None:
    before = os.environ["GTA_STORE"]
    os.environ["GTA_STORE"] = "side-store"
    try:
        Data(scale)
    finally:
        os.environ["GTA_STORE"] = before


class _Together:
    """Progress of a job among several: times the seconds in which all of them train."""

    def __init__(self, seconds: float, processes: int, number: int) -> None:
        self.seconds, self.processes, self.number = seconds, processes, number
        self.began: tuple[int, float] | None = None
        self.rate: float | None = None  # iterations a second

    def __call__(self, _: Run, done: int, __: int) -> None:
        """As ``gta.train.train_runs`` calls it."""
        now = time.perf_counter()
        if self.began is None:
            if done == FEWEST:
                Path(f"ready.{self.number}").touch()
            if done >= FEWEST and self._all("ready"):
                self.began = done, now
        elif self.rate is None:
            first, began = self.began
            if now - began >= self.seconds:
                self.rate = (done - first) / (now - began)
                Path(f"done.{self.number}").touch()
        elif self._all("done"):
            raise EnoughError

    def _all(self, what: str) -> bool:
        return len(list(Path().glob(f"{what}.*"))) == self.processes


def main(architecture: str, device: str, seconds: str, processes: str, number: str) -> None:
    """One of the processes: prints its images a second."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    scale = SCALES[architecture]
    case = Case("finetune", resident=False, randaugment="none")
    study = case.study(scale, study=f"side{number}")
    timer = _Together(float(seconds), int(processes), int(number))
    with suppress(EnoughError):
        train_runs(study, case.of(study), device, timer)
    assert timer.rate is not None
    print(timer.rate * scale.batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
