"""Training that is killed again and again ends with the numbers of one that never was.

``make test`` kills five times, ``make kill-test`` fifty. Half of the kills come from outside at
a random moment, as SIGKILL or SIGTERM; half come from within, at a random write of a checkpoint
or a result, when the file is half-written or has all but its name. Each attempt is a process of
its own that goes on from where the one before was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from gta.study import Study
from tests.support.samples import files_below
from tests.train.runs import ROUGH, assert_same_results, run_of

KILLS = int(os.environ.get("GTA_KILLS", "5"))
KILLS_A_PACK = 5  # at most; then it is left to end
OFTEN = 0.02  # seconds between checkpoints
STARTED = Path("started")


def attempt(content: dict[str, Any], names: list[str], fatal: int | None) -> None:
    """Train, in a process of its own; die in the write of that number, from 1, if it comes."""
    import torch

    from gta.train import train_runs

    fsync, writes = os.fsync, 0

    def deadly(fd: Any) -> None:  # `results.whole` calls it before it renames
        nonlocal writes
        writes += 1
        if writes == fatal:
            path = Path(f"/proc/self/fd/{fd}").resolve()
            if writes % 2:
                os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(fd)

    os.fsync = deadly
    torch.set_num_threads(1)
    study = Study(content)
    runs = [study.find(name) for name in names]
    train_runs(study, runs, "cpu", lambda *_: STARTED.touch())


@pytest.fixture
def start() -> Iterator[Callable[..., BaseProcess]]:
    """Starts attempts, which have their imports behind them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gta.train", "timm.models.vision_transformer"])
    processes = []

    def begin(*arguments: Any) -> BaseProcess:
        STARTED.unlink(missing_ok=True)
        process = context.Process(target=attempt, args=arguments)
        process.start()
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()


def status_of(process: BaseProcess) -> int:
    """Wait for the end; the status is negative for a signal that killed."""
    process.join(120)
    assert process.exitcode is not None, "the attempt hangs"
    return process.exitcode


def wait_for_start(process: BaseProcess) -> None:
    """Wait for the first iteration, or for the end where none is left to do."""
    while not STARTED.exists() and process.is_alive():
        time.sleep(0.002)


def test_killed_runs_end_with_the_numbers_of_unbroken_ones(make_study, start):
    recipe = {**ROUGH, "iterations": 12}
    unbroken = make_study(study="unbroken", recipe=recipe, checkpoint_seconds=OFTEN)
    runs = [
        run_of(unbroken, mix="transmix"),
        run_of(unbroken, "bss"),
        run_of(unbroken, "gta", lam=1.0),
        run_of(unbroken, "l2_sp"),
    ]
    names = [run.name for run in runs]
    process = start(unbroken.content, names, None)
    wait_for_start(process)
    begin = time.monotonic()
    assert status_of(process) == 0
    whole = time.monotonic() - begin

    draw = random.Random(KILLS)
    died: Counter[str] = Counter()
    packs = 0
    while died.total() < KILLS:
        packs += 1
        study = make_study(study=f"killed-{packs}", recipe=recipe, checkpoint_seconds=OFTEN)
        for _ in range(min(KILLS_A_PACK, KILLS - died.total())):
            if draw.random() < 0.5:
                how = "SIGKILL in a write"
                process = start(study.content, names, draw.randint(1, 40))
            else:
                number = draw.choice([signal.SIGKILL, signal.SIGTERM])
                how = number.name
                process = start(study.content, names, None)
                wait_for_start(process)
                time.sleep(draw.uniform(0, 0.7 * whole))
                process.kill() if number == signal.SIGKILL else process.terminate()
            status = status_of(process)
            if status == 0:  # it was quicker
                break
            assert status in (143, -signal.SIGTERM, -signal.SIGKILL)
            died[how] += 1
        assert status_of(start(study.content, names, None)) == 0
        assert_same_results(study, unbroken, runs)
        left = [Path(name) for name in files_below(study.folder)]
        assert not [file for file in left if file.name.startswith(".") or file.suffix == ".pt"]
    said = ", ".join(f"{count} by {how}" for how, count in sorted(died.items()))
    print(f"{died.total()} kills of {packs} packs of {len(runs)} runs ({said}): all as unbroken")
