"""`python -m benchmarks gpu`, tried out on a CPU with tiny models: what it measures and writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.gpu import run
from benchmarks.gpu.jobs import Case, measure
from benchmarks.gpu.page import page
from benchmarks.gpu.run import main
from benchmarks.gpu.scale import PAPER, TINY, Data
from benchmarks.inputs import working_folder

JOB = {
    "runs": 1,
    "iterations": 5,
    "seconds_an_iteration": 0.08,
    "images_per_second": 100.0,
    "waited": None,
    "memory_gib": 1.5,
    "tflops": 1e-3,
}


def test_without_a_gpu_it_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = CliRunner().invoke(app, ["gpu"])
    assert said.exit_code == 1
    assert said.output == "error: there is no GPU that torch can use; nothing was measured\n"


@pytest.mark.parametrize(
    ("method", "runs"), [("finetune", 1), ("gta", 4), ("gta", 21), ("all", 21)]
)
def test_jobs_are_those_of_the_paper(method: str, runs: int) -> None:
    case = Case(method, runs=runs)
    assert len(case.of(case.study(PAPER))) == runs


def test_a_job_is_timed_and_its_wait_is_counted(tmp_path: Path) -> None:
    with working_folder(tmp_path, GTA_STORE="store"):
        data = Data(TINY)
        resident = measure(Case("gta", precision="float32"), data, "cpu", 0.01)
        fed = measure(Case("finetune", precision="float32", resident=False), data, "cpu", 0.01)
    assert resident["runs"] == fed["runs"] == 1
    assert resident["images_per_second"] > 0
    assert resident["waited"] is None
    assert 0 < fed["waited"] < 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "..\n14 passed, 15 warnings in 65.82s (0:01:05)\n/a.py:44: Warning: 2 errors\n",
            (14, 0, 0),
        ),
        ("=== 1 failed, 12 passed, 2 skipped, 3 errors in 9.1s ===\n", (12, 4, 2)),
        ("given up after 120 s\n..", (0, 1, 0)),
    ],
)
def test_outcomes_of_tests(said: str, expected: tuple[int, int, int]) -> None:
    assert tuple(run.outcomes(said).values()) == expected


def test_what_fails_or_finds_no_time_is_named_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no kernel\nmore of it")

    loop = {"loop": "deit", "feed": "memory", "precision": "float16"}
    steps = [
        ("jobs", asdict(Case("finetune")), lambda: JOB),
        ("loops", loop, broken),
        ("segmentation", {}, lambda: {"images_per_second": 1234.5}),
    ]
    monkeypatch.setattr(run, "steps", lambda *_: steps)
    for seconds, kept in ((100.0, 2), (0.0, 0)):
        assert main(tmp_path, None, seconds, "cpu", True, None) == 0
        found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
        rows = found["jobs"] + found["loops"] + found["segmentation"]
        assert sum("images_per_second" in row for row in rows) == kept
        document = (tmp_path / "gpu.md").read_text(encoding="utf-8")
        assert document == page(found)
        assert "Not run: there was no GPU." in document
        if kept:
            assert "| fine-tuning | bfloat16 | resident | 100 | 0.080 |" in document
            assert "| deit | float16 | memory | not measured: RuntimeError: no kernel |" in document
            assert "1,234" in document
        else:
            assert document.count("not measured: no time was left") == 3
