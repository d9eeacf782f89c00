"""Room on the disk is looked at before anything is trained, with the estimate of `gta plan`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gta.errors import GtaError
from gta.plan import Estimator, disk
from gta.study import Study, room
from tests.conftest import ROOT
from tests.support.left import finish


@pytest.mark.parametrize("name", ["mini", "paper"])
def test_the_estimate_is_that_of_the_plan(name: str, workdir: Path) -> None:
    study = Study.load([ROOT / "config" / f"{name}.yaml"])
    keepers = [run for run in study.runs if study.keeps_weights(run)]
    planned = {space.kind: space.bytes for space in disk(Estimator(study))}
    weights = sum(room.weights_bytes(study, run) for run in keepers)
    # The head, biases and norms are left out or guessed.
    assert weights == pytest.approx(planned["models"], rel=0.05)
    rest = sum(room.results_bytes(study, run) for run in study.runs) - weights
    parts = sum(planned[kind] for kind in ("metrics", "history", "predictions"))
    assert rest == pytest.approx(parts, rel=0.5)  # random numbers pack worse than real ones


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=count))


def test_too_little_room_is_one_line(tiny_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study({**tiny_study.content, "keep_weights": "all"})
    needed = sum(room.results_bytes(study, run) for run in study.runs)
    free(monkeypatch, needed - 1)
    said = r"^results/tiny: 64 runs need about .* MB .* for weights .* free; make room .*gta plan`$"
    with pytest.raises(GtaError, match=said):
        room.require_room_for_study(study)
    free(monkeypatch, needed)
    assert room.require_room(study, study.runs).startswith("results/tiny: checkpoints of 64 runs")
    finish(study, study.runs[0])
    free(monkeypatch, needed - room.results_bytes(study, study.runs[0]))
    room.require_room(study, study.runs)
    free(monkeypatch, 10 * needed)
    assert room.require_room(study, study.runs) == ""


def test_snakemake_needs_room_too(tiny_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in tiny_study.runs:
        finish(tiny_study, run)
    free(monkeypatch, 1000)
    with pytest.raises(GtaError, match=r"\.snakemake: 1 kB are free, and Snakemake keeps"):
        room.require_room_for_study(tiny_study)
