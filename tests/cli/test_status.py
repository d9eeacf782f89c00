"""``gta status``: what a terminal shows of a study, whole or in few lines."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from gta.cli import app
from gta.cli.status import LIVE_LINES, hours, view
from gta.files import write_text
from gta.results.status import Monitor
from gta.results.writers import sole_writer
from gta.study import Study
from tests.support.left import fail, finish


def shown(study: Study, most: int | None = None) -> str:
    console = Console(width=120, record=True, file=StringIO())
    console.print(view(Monitor(study, lambda run: None).look(), most))
    return console.export_text()


def test_a_study_at_work(tiny_study: Study) -> None:
    near = [run for run in tiny_study.runs if run.dataset == "mini_near"]
    far = [run for run in tiny_study.runs if run.dataset == "mini_far"]
    for run in near:
        finish(tiny_study, run, seconds=90.0)
    fail(tiny_study, far[0], "the loss is not finite")
    with sole_writer(tiny_study.run_files(far[1])), sole_writer(tiny_study.run_files(far[2])):
        assert "logs/train" not in shown(tiny_study)  # there is none yet
        write_text(tiny_study.run_files(far[0]).log, "")
        said = shown(tiny_study)
    assert said.startswith("study tiny: 64 runs (32 done, 2 running, 29 queued, 1 failed) at ")
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["table2"] == ["32/32", "0/32", "▸2", "✗1", "32", "2", "29", "1"]
    assert rows["all"] == rows["table2"]
    # 32 runs at 90 s are left, for the two jobs that hold a lock
    assert "32 done in the last hour; 0.356 images a second a job" in said
    assert "24 minutes left with 2 jobs at a time" in said
    assert f"running: {tiny_study.title(far[1])}: nothing saved" in said
    assert f"failed: {tiny_study.title(far[0])}: the loss is not finite" in said
    assert f"results/tiny/logs/train/{far[0].name}.log" in said


def test_few_lines_where_it_is_renewed_in_place(tiny_study: Study) -> None:
    for run in tiny_study.runs[:20]:
        fail(tiny_study, run, "no")
    said = shown(tiny_study, LIVE_LINES)
    assert said.count("failed: ") == LIVE_LINES
    assert "… and 15 more failed" in said
    assert "nothing tells yet how long" in said


def test_an_idle_study_tells_what_is_left(tiny_study: Study) -> None:
    finish(tiny_study, tiny_study.runs[0], seconds=3600.0)
    assert "63.0 hours of training left; nothing is running" in shown(tiny_study)


@pytest.mark.parametrize(
    ("seconds", "said"), [(12.4, "12 seconds"), (600, "10 minutes"), (45_000, "12.5 hours")]
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert hours(seconds) == said


def test_without_a_terminal_it_prints_once(tiny_config: dict[str, Any], workdir: Path) -> None:
    Path("study.yaml").write_text(yaml.safe_dump(tiny_config))
    done = CliRunner().invoke(app, ["status", "-c", "study.yaml"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.startswith("study tiny: 64 runs (64 queued) at ")
    assert {path.name for path in workdir.iterdir()} == {"study.yaml"}


def test_the_live_view_ends_with_the_study(
    tiny_config: dict[str, Any], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("study.yaml").write_text(yaml.safe_dump(tiny_config))
    study = Study.load(["study.yaml"])
    *others, last = study.runs
    for run in others:
        finish(study, run)
    terminal = Console(force_terminal=True, width=120, file=StringIO())
    monkeypatch.setattr("gta.cli.status.console", terminal)
    monkeypatch.setattr(time, "sleep", lambda seconds: finish(study, last))
    done = CliRunner().invoke(app, ["status", "-c", "study.yaml"], catch_exceptions=False)
    assert done.exit_code == 0
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "64 runs (63 done, 1 queued)" in shown
    assert "64 runs (64 done)" in shown
