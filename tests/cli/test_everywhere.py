"""What every command keeps to: JSON for scripts, the study of the environment, any terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import commands


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("status",),
        ("table", "fresh"),
        ("data", "list"),
        ("source", "list"),
        ("doctor",),
        ("compare", "mini", "mini"),
    ],
    ids=" ".join,
)
def test_json_and_nothing_else(arguments: tuple[str, ...], in_finished: Path) -> None:
    config = () if arguments[0] == "compare" else ("--config", "results/mini/config.yaml")
    if arguments[0] == "doctor":
        done = subprocess.run(
            [sys.executable, "-m", "gta", *arguments, *config, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert json.loads(done.stdout)
        return
    assert json.loads(commands.gta(*arguments, *config, "--json"))


def test_the_study_of_the_environment(in_finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTA_STUDY", "paper")
    assert "study paper: 1," in commands.gta("runs")
    monkeypatch.setenv("GTA_STUDY", "mini")
    assert "study mini" in commands.gta("runs")


def test_errors_say_which_part_is_wrong(in_finished: Path) -> None:
    config = ("--config", "results/mini/config.yaml")
    run = "dataset=mini_near/rate=16/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0"
    assert commands.error_of("train", run, *config).endswith("rate is 16, not one of 15, 100")
    assert "fresh is a table of study mini: `gta table fresh`" in commands.error_of(
        "figure", "fresh", *config
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_that_are_not_utf8(encoding: str, in_finished: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gta", "table", "--config", "results/mini/config.yaml"],
        capture_output=True,
        env={"PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path), "HOME": "/tmp"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\\u03bb" in done.stdout  # a lambda, escaped
