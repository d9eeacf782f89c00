"""Training jobs, timed from outside: whole ones, as the workflow starts them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.gpu.scale import DATASET, Data, Scale, content
from gta.data.batches.loader import Loader
from gta.plan import Estimator
from gta.study import Run, Study
from gta.train import train_runs

WARM = 3  # iterations that are not timed
FEWEST = 4  # timed ones, however long they take
_NAMES = count()


@dataclass(frozen=True)
class Case:
    """A job to measure.

    Attributes:
        method: of its runs; ``all`` for a pack of every method, as in the paper.
        runs: how many lambdas of GTA; 1 for any other method.
        precision: of the recipe.
        compiled: whether the models are compiled.
        resident: whether every step takes the same batch, which stays on the device: the speed of
            the steps alone.
        randaugment: where RandAugment runs: ``host``, ``device`` or ``none``.
    """

    method: str
    runs: int = 1
    precision: str = "bfloat16"
    compiled: bool = False
    resident: bool = True
    randaugment: str = "host"

    def study(self, scale: Scale, study: str | None = None, **recipe: Any) -> Study:
        """A study with this job; its results are in a folder of their own."""
        augment = {"crop": "random_resized_crop", "scale": [0.08, 1.0], "flip": 0.5}
        if self.randaugment != "none":
            policy = {"randaugment": "rand-m9-mstd0.5-inc1", "randaugment_on": self.randaugment}
            augment |= policy
        keys = {"precision": self.precision, "compile": self.compiled, "augment": augment} | recipe
        lambdas = 4 if self.method == "all" else self.runs
        return Study(content(scale, study or f"bench{next(_NAMES)}", lambdas, **keys))

    def of(self, study: Study) -> list[Run]:
        """The job's runs."""
        runs = [run for run in study.runs if run.dataset == DATASET and run.mix == "none"]
        runs = [run for run in runs if run.source == study.config.sources["main"]]
        if self.method != "all":
            runs = [run for run in runs if run.method == self.method][: self.runs]
        return runs


class EnoughError(BaseException):
    """The measurement has what it needs; no error of a run, which would be noted as its own."""


class _Timer:
    """Progress of a job: starts after some iterations, ends the job when it took long enough."""

    def __init__(self, seconds: float, warm: int, clock: Callable[[], float]) -> None:
        self.seconds, self.warm, self.clock = seconds, warm, clock
        self.began = self.ended = 0.0
        self.iterations = 0
        self.finished: dict[Run, int] = {}
        self.on_start: Callable[[], None] = lambda: None

    def __call__(self, run: Run, done: int, _: int) -> None:
        """As ``gta.train.train_runs`` calls it, after each iteration of each run."""
        self.finished[run] = done
        if len(set(self.finished.values())) > 1:  # the others of the pack are yet to come
            return
        now = self.clock()
        if done == self.warm:
            self.began = now
            self.on_start()
        elif done > self.warm:
            self.ended, self.iterations = now, done - self.warm
            if self.iterations >= FEWEST and now - self.began >= self.seconds:
                raise EnoughError


@contextmanager
def watched_loader(resident: bool) -> Iterator[list[float]]:
    """Note the seconds that each batch was waited for; if ``resident``, repeat the first batch."""
    waits: list[float] = []
    kept: dict[Loader, Any] = {}
    original = Loader.batch

    def batch(self: Loader, iteration: int) -> Any:
        if resident and self in kept:
            return kept[self]
        begin = time.perf_counter()
        made = original(self, iteration)
        waits.append(time.perf_counter() - begin)
        if resident:
            kept[self] = made
        return made

    with patch.object(Loader, "batch", batch):
        yield waits


def measure(case: Case, data: Data, device: str, seconds: float) -> dict[str, Any]:
    """Train for some seconds.

    Args:
        case: the job.
        data: of its images.
        device: where to train.
        seconds: to time, after some iterations that are not.

    Returns:
        images_per_second (training images through each run's model, summed over the runs), the
        share of time that waited for images, memory in GiB, FLOP/s.

    Raises:
        GtaError: as ``gta.train.train_runs``.
    """
    study = case.study(data.scale)
    runs = case.of(study)
    timer = _Timer(seconds, WARM, time.perf_counter)
    free_memory(device)
    with watched_loader(case.resident) as waits:
        timer.on_start = waits.clear
        with suppress(EnoughError):
            train_runs(study, runs, device, timer)
    took = timer.ended - timer.began
    images = timer.iterations * data.scale.batch * len(runs)
    # one read of the source serves all runs of the job
    work = Estimator(study).of(runs)
    flops = (work.training_flops + work.source_flops) / work.trained
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else None
    return {
        "runs": len(runs),
        "iterations": timer.iterations,
        "seconds_an_iteration": took / timer.iterations,
        "images_per_second": images / took,
        "waited": None if case.resident else sum(waits) / took,
        "memory_gib": memory,
        "tflops": flops * images / took / 1e12,
    }


def measure_testing(case: Case, data: Data, device: str) -> dict[str, Any]:
    """Time the test of a job's models after two iterations, its files included."""
    study = replace(case, resident=True).study(data.scale, iterations=2, warmup_iterations=0)
    runs = case.of(study)
    timer = _Timer(1e9, 1, time.perf_counter)
    free_memory(device)
    with watched_loader(resident=True):
        train_runs(study, runs, device, timer)
    took = time.perf_counter() - timer.ended
    return {
        "runs": len(runs),
        "seconds": took,
        "images_per_second": data.scale.test * len(runs) / took,
    }


def free_memory(device: str) -> None:
    """Give a GPU's memory back, and begin its peak anew."""
    gc.collect()
    torch.compiler.reset()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
