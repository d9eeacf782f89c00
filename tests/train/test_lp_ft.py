"""Runs that start from the head of the linear probe, and combinations, in a training job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from gta.errors import GtaError
from gta.results import read_row
from gta.study import Study
from gta.train import train_runs
from tests.train.runs import learners_of, run_of, weights_of

CHANGES = {
    "extra_methods": ["lp_ft", "gta+lora+lp_ft"],
    "methods": {"gta+lora+lp_ft": {"gta": {"grid": [1]}, "lora": {"r": 2}, "lr": [0.01]}},
    "tables": ["table2"],
    "recipe": {"iterations": 3, "warmup_iterations": 1},
    "keep_weights": "none",
}


def test_a_job_trains_the_probe_first_and_others_start_from_its_head(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(**CHANGES)
    run = run_of(study, "lp_ft")
    probe = study.head_run(run)
    assert probe is not None
    both = study.find(replace(run, method="gta+lora+lp_ft", lam=1.0, tuned="lr=0.01").name)

    with pytest.raises(GtaError, match=f"head of {probe.name}, which is not trained: `gta train"):
        train_runs(study, [run], "cpu")

    train_runs(study, [both, run, probe], "cpu")
    head = {k: v for k, v in weights_of(study, probe).items() if k.startswith("head.")}
    learners, batches = learners_of(study, [run, both])
    with batches.loader:
        for learner in learners:
            start = learner.model.state_dict()
            assert all(
                torch.equal(start[name], head[name]) for name in ("head.weight", "head.bias")
            )
    assert read_row(study.run_files(both))["acc1"] >= 0
    assert not study.run_files(run).weights.exists()  # the probe's alone are kept
