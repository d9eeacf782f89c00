"""`python -m benchmarks.gpu.study`: which jobs, which learning rates, and what is packed."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.gpu import study as gpu_study
from benchmarks.machine import ROOT
from gta.study import Study

FLOWERS = ROOT / "config" / "flowers.yaml"
RATES = ["1e-5", "3e-4"]


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A project in a temporary folder, with the repository's configs."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)


def test_jobs_hold_whole_packs_and_the_first_seeds_come_first() -> None:
    study = gpu_study.load((FLOWERS,))
    jobs = gpu_study.jobs_of(study, 8)
    assert sorted(name for job in jobs for name in job) == sorted(run.name for run in study.runs)
    assert {len(job) for job in jobs} == {8}
    seeds = [study.find(job[0]).seed for job in jobs]
    assert seeds == sorted(seeds)
    assert {len(job) for job in gpu_study.jobs_of(study, 3)} == {3, 2}


def test_the_chosen_learning_rates_become_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_study, "call", lambda *_: True)
    tried = gpu_study.tries((FLOWERS,), ROOT / "config" / "flowers-lr.yaml", RATES, tmp_path)
    best = {"finetune": "1e-5", "gta": "1e-5", "linear_probe": "3e-4"}
    for files, rate in zip(tried, RATES, strict=True):
        study = Study.load(files)
        assert {study.recipe(run).lr for run in study.runs} == {float(rate)}
        study.folder.mkdir(parents=True)
        rows = [
            {
                "method": run.method,
                "seed": run.seed,
                "heldout_acc1": 90.0 if best[run.method] == rate else 80.0,
                "heldout_loss": 1.0,
            }
            for run in study.runs
        ]
        pd.DataFrame(rows).to_parquet(study.folder / "metrics.parquet")
    (own,) = gpu_study.chosen((FLOWERS,), tried, tmp_path)
    study, before = Study.load([own]), Study.load([FLOWERS])
    assert study.name == "flowers"
    assert study.runs == before.runs
    lrs = {(run.method, study.recipe(run).lr) for run in study.runs}
    assert lrs == {
        (method, 3e-4 if method == "linear_probe" else 1e-5)
        for method in ("finetune", "l2_sp", "attention_only", "gta", "linear_probe")
    }


def test_an_archive_holds_results_and_rates_but_no_models(tmp_path: Path) -> None:
    study = gpu_study.load((FLOWERS,))
    for name in ("metrics.parquet", "models/x/part.safetensors", "tables/flowers.md"):
        path = study.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    rate = study.folder.parent / "flowers-lr-1e-5" / "metrics.parquet"
    rate.parent.mkdir()
    rate.write_text("rate")
    gpu_study.CONFIGS.mkdir(parents=True)
    (gpu_study.CONFIGS / "flowers.yaml").touch()
    gpu_study.pack(study, tmp_path)
    with tarfile.open(tmp_path / "flowers.tar.gz") as archive:
        assert sorted(archive.getnames()) == [
            "configs/flowers.yaml",
            "flowers-lr-1e-5/metrics.parquet",
            "flowers/metrics.parquet",
            "flowers/tables/flowers.md",
        ]


def test_the_rivals_have_rates_of_their_own() -> None:
    files = (FLOWERS, ROOT / "config" / "flowers-rivals.yaml")
    study = Study.load(files)
    tried = Study.load([*files, ROOT / "config" / "flowers-rivals-lr.yaml"])
    assert {run.method for run in tried.runs} == {run.method for run in study.runs}
    assert not {run.seed for run in tried.runs} & {run.seed for run in study.runs}
    assert {run.rate for run in study.runs} == {15}
