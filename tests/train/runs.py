"""Runs of the small study: naming them, training them, comparing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from torch import Tensor

from gta import results
from gta.data.store import Store
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.sharing import batch_key
from gta.train import Progress
from gta.train.inputs import SourceWeights, open_source
from gta.train.learner import Learner
from gta.train.lockstep import SharedBatches, train_together

CPU = torch.device("cpu")
HARDEST = 100.0  # a lambda that leaves the logits nearly where they were
ROUGH = {
    "iterations": 5,
    "drop_path": 0.3,
    "augment": {"crop": "random_resized_crop", "randaugment": "rand-m9-mstd0.5-inc1"},
}
# What tells of the machine, the hour and the checkout; all else in a row of metrics follows from
# the run.
CIRCUMSTANCES = {"seconds", "images_per_second", "peak_memory_mb", "finished_at", "git_commit"}


def run_of(study: Study, method: str = "finetune", **fields: object) -> Run:
    """The study's run with the main source, its lowest rate, lambda and seed."""
    run = Run("mini_near", 15, "tiny_ibot", method, "none", study.grid(method)[0], 0)
    run = replace(run, **fields)  # type: ignore[arg-type]
    return study.find(run.name)


def every_kind(study: Study) -> list[Run]:
    """Runs that share their batches: every method, both mixes, two sources and two lambdas."""
    alike = [
        run
        for run in study.runs
        if (run.rate, run.seed) == (15, 0) and run.source != "tiny_dino" and run.lam != HARDEST
    ]
    assert {run.method for run in alike} >= {"finetune", "bss", "l2_sp", "gta", "msa_guide"}
    assert {run.mix for run in alike} == {"none", "transmix"}
    assert {run.source for run in alike} == {"tiny_ibot", "tiny_supervised"}
    return alike


def learners_of(study: Study, runs: Iterable[Run]) -> tuple[list[Learner], SharedBatches]:
    """Learners at their start, and their batches."""
    runs = list(runs)
    store = Store(study.store(runs[0].dataset))
    sources = {
        run.source: SourceWeights(open_source(study, run.source), study.recipe(run), CPU)
        for run in runs
    }
    classes = len(store.classes)
    learners = [Learner.of(study, run, classes, sources[run.source], CPU) for run in runs]
    return learners, SharedBatches(study, runs[0], store, CPU)


def key_of(study: Study, run: Run) -> tuple[Any, ...]:
    """What runs that share batches agree in."""
    return batch_key(run, study.recipe(run))


def fail(run: Run, error: GtaError) -> NoReturn:
    """For runs that are to succeed."""
    raise error


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """A row of history without what it lacks, which no tolerance compares."""
    return {key: value for key, value in row.items() if value is not None}


def fit(study: Study, run: Run, progress: Progress | None = None) -> Learner:
    """A run trained alone, neither tested nor written."""
    learners, feed = learners_of(study, [run])
    (learner,) = train_together(learners, feed, fail, progress)
    return learner


def weights_of(study: Study, run: Run) -> dict[str, Tensor]:
    """The weights that a run left."""
    return load_file(study.run_files(run).weights)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all is equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def assert_same_results(one: Study, two: Study, runs: Sequence[Run]) -> None:
    """Metrics, history, predictions and weights are equal, bit for bit."""
    for run in runs:
        for kind in ("history", "predictions", "metrics"):
            found, expected = (
                results.read_part(study.run_files(run), kind) for study in (one, two)
            )
            columns = [name for name in expected.column_names if name not in CIRCUMSTANCES]
            other = [name for name in columns if not found[name].equals(expected[name])]
            assert not other, f"{run.name}: {kind}: {', '.join(other)}"
        assert same(weights_of(one, run), weights_of(two, run)), run.name
