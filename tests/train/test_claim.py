"""The claim of a device: shared out among processes, packed, freed by a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gta.errors import GtaError
from gta.train.claim import claim, places, runs_per_device, shared, threads_each
from gta.train.device import _GRANTS

JOB = """
import sys
from gta.train.claim import claim
with claim() as device:
    print(device, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks in a folder of the test's own, no settings from outside."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("GTA_DEVICES", "GTA_RUNS_PER_DEVICE", *_GRANTS):
        monkeypatch.delenv(name, raising=False)


class Jobs:
    """Processes that claim a device and keep it until they are ended or killed."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        job = subprocess.Popen(
            [sys.executable, "-c", JOB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.all.append(job)
        return job

    def device(self, job: subprocess.Popen[str]) -> str:
        assert job.stdout is not None
        return job.stdout.readline().strip()

    def kill(self, job: subprocess.Popen[str]) -> None:
        job.kill()
        job.communicate()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    for job in jobs.all:
        jobs.kill(job)


def test_without_a_gpu_it_is_the_cpu_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with claim() as first, claim() as second:
        assert (first, second) == ("cpu", "cpu")
    assert places() == 0


def test_a_device_named_by_hand_is_used_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu:0")
    with claim("cpu:0") as first, claim("cpu:0") as second, claim("cuda") as third:
        assert (first, second, third) == ("cpu:0", "cpu:0", "cuda")


def test_each_claim_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu:0, cpu:1,cpu:2")
    with ExitStack() as stack:
        held = [stack.enter_context(claim()) for _ in range(3)]
    assert held == ["cpu:0", "cpu:1", "cpu:2"]
    for name in held:
        assert torch.empty(0, device=name).device.type == "cpu"


def test_packing_fills_every_device_once_before_any_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu:0,cpu:1")
    monkeypatch.setenv("GTA_RUNS_PER_DEVICE", "2")
    assert places() == 4
    with ExitStack() as stack:
        held = [stack.enter_context(claim()) for _ in range(4)]
    assert held == ["cpu:0", "cpu:1", "cpu:0", "cpu:1"]


def test_killed_jobs_free_their_devices(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu:0,cpu:1,cpu:2")
    first = [jobs.start() for _ in range(3)]
    held = [jobs.device(job) for job in first]
    assert sorted(held) == ["cpu:0", "cpu:1", "cpu:2"]
    waiting = [jobs.start() for _ in range(2)]
    for job in first[:2]:
        jobs.kill(job)
    assert sorted(jobs.device(job) for job in waiting) == sorted(held[:2])
    assert first[2].poll() is None


def test_gpus_are_told_apart_by_what_they_are_not_by_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a job that sees GPU 1 alone it is cuda:0; the claim must meet those that see both."""
    current: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)

    def see(*uuids: str) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda name: SimpleNamespace(uuid=uuids[int(name.removeprefix("cuda:"))]),
        )

    def wait() -> None:
        raise TimeoutError

    see("first", "second")
    with claim() as device:
        assert device == "cuda:0"
        see("second")
        with claim(on_wait=wait) as other:
            assert other == "cuda:0"
            see("first", "second")
            with pytest.raises(TimeoutError), claim(on_wait=wait):
                pass
    assert current == ["cuda:0", "cuda:0"]


@pytest.mark.parametrize("given", ["gpu", "cuda", "cuda:0;cuda:1", "0,1", ","])
def test_devices_that_are_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", given)
    with pytest.raises(GtaError, match="GTA_DEVICES"):
        shared()


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cuda:77")
    with pytest.raises(GtaError, match="'cuda:77' cannot be used"), claim():
        pass


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", ""])
def test_a_packing_that_is_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_RUNS_PER_DEVICE", given)
    with pytest.raises(GtaError, match="GTA_RUNS_PER_DEVICE"):
        runs_per_device()


def test_threads_are_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    for given, threads in (("cpu", 16), ("cpu:0,cpu:1", 8), ("cpu:0,cpu:1,cpu:2", 5)):
        monkeypatch.setenv("GTA_DEVICES", given)
        assert threads_each() == threads
    monkeypatch.setenv("GTA_RUNS_PER_DEVICE", "8")
    assert threads_each() == 1
