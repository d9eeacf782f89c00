"""Signals: noted, acted on at a safe point, and given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gta.study import Study
from gta.train import Stopped
from gta.train.signals import ENDING, Signals
from tests.train.runs import run_of


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_noted_and_raised_when_asked_for(number):
    with Signals() as signals:
        signals.check()
        os.kill(os.getpid(), number)
        assert signals.received == number
        with pytest.raises(Stopped) as stopped:
            signals.check()
    assert stopped.value.code == 128 + number
    assert stopped.value.signal == number


def test_the_first_of_several_counts():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGUSR1


def test_handlers_are_given_back():
    came = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append("outer"))
    try:
        with Signals():
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == ["outer"]


def test_outside_the_main_thread_no_handler_is_set():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look() -> None:
        with Signals() as signals:
            signals.check()
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def test_the_command_line_keeps_a_checkpoint_and_says_so(
    make_study: Callable[..., Study], root: Path
) -> None:
    study = make_study(recipe={"iterations": 1_000_000}, checkpoint_seconds=0.2)
    run = run_of(study)
    Path("study.yaml").write_text(yaml.safe_dump(study.content), encoding="utf-8")
    command = [sys.executable, "-c", "from gta.cli import main; main()"]
    job = subprocess.Popen(
        [*command, "train", "--config", "study.yaml", run.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    checkpoints = study.folder / "checkpoints" / run.name
    while not (checkpoints / "checkpoint.pt").exists():  # it is in its loop
        assert job.poll() is None, job.communicate()
        threading.Event().wait(0.1)
    job.terminate()
    out, err = job.communicate(timeout=60)
    assert job.returncode == 143
    assert out == ""
    assert err.endswith("\nstopped by SIGTERM; the next attempt resumes from the checkpoints\n")
