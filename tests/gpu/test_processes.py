"""Processes on a GPU: one that is killed and resumes, and several that claim the device."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import assert_same_results, run_of

pytestmark = pytest.mark.gpu

RECIPE = {
    "iterations": 30,
    "drop_path": 0.3,
    "precision": "float16",
    "augment": {
        "crop": "random_resized_crop",
        "randaugment": "rand-m9-mstd0.5-inc1",
        "randaugment_on": "device",
    },
}
KILL_AT = 12  # iterations, when a checkpoint of some of them is written


def attempt(content: dict[str, Any], names: list[str], kill: bool) -> None:
    """Train with deterministic algorithms, in a process of its own."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # which cuBLAS needs for that
    import torch

    from gta.study import Study
    from gta.train import train_runs

    torch.use_deterministic_algorithms(True, warn_only=True)
    study = Study(content)

    def progress(_: object, done: int, __: int) -> None:
        if kill and done == KILL_AT:
            os.kill(os.getpid(), 9)

    train_runs(study, [study.find(name) for name in names], "cuda", progress)


def status_of(*arguments: Any) -> int | None:
    # a fork of a process that has used CUDA cannot
    process = multiprocessing.get_context("spawn").Process(target=attempt, args=arguments)
    process.start()
    process.join(120)
    process.kill()
    return process.exitcode


def test_a_killed_job_resumes_bit_for_bit(make_study):
    unbroken = make_study(study="unbroken", recipe=RECIPE)
    killed = make_study(study="killed", recipe=RECIPE, checkpoint_seconds=1e-3)
    runs = [run_of(unbroken, "gta", lam=1.0), run_of(unbroken, mix="transmix")]
    names = [run.name for run in runs]
    assert status_of(unbroken.content, names, False) == 0
    assert status_of(killed.content, names, True) == -9
    assert list(killed.folder.rglob("*.pt")), "no checkpoint was written"
    assert status_of(killed.content, names, False) == 0
    assert_same_results(killed, unbroken, runs)


JOB = """
import sys
from gta.train.claim import claim
with claim(on_wait=lambda: print("waits", flush=True)) as device:
    print(device, flush=True)
    sys.stdin.read()
"""


def job() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JOB]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("places", [1, 2])
def test_two_jobs_claim_one_gpu(
    places: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GTA_DEVICES", "cuda:0")
    monkeypatch.setenv("GTA_RUNS_PER_DEVICE", str(places))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    first = job()
    try:
        assert line_of(first) == "cuda:0"
        second = job()
        try:
            if places == 1:
                assert line_of(second) == "waits"
                time.sleep(0.1)
                first.kill()
            assert line_of(second) == "cuda:0"
        finally:
            second.kill()
            second.communicate()
    finally:
        first.kill()
        first.communicate()
