"""What an edit of the config re-runs, as Snakemake plans it: exactly the runs that it changes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from gta.cli.snakemake import Snakemake
from gta.errors import GtaError
from gta.study import Run, Study
from tests.support.staged import KEYS, STUDY, TABLES, StagedStudy

# One worker runs them all: the study that they start from takes longest.
pytestmark = pytest.mark.xdist_group("edits")

DATASETS = ["mini_near", "mini_far"]
SPEC = TABLES["tables"]["small"]
TWO: dict[str, Any] = {**STUDY, "datasets": DATASETS}
METRICS = "results/staged/metrics.parquet"


def path_of(dataset: str, key: str, seed: int = 0) -> str:
    method, lam = key.split("-")
    run = Run(dataset, 100.0, "tiny_ibot", method, "none", float(lam), seed)
    return f"results/staged/metrics/{run.name}/part.parquet"


ALL = {path_of(dataset, key) for dataset in DATASETS for key in KEYS}
FAR = {path_of("mini_far", key) for key in KEYS}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagedStudy]:
    """A study of six runs, a job each, that Snakemake has trained."""
    study = StagedStudy(tmp_path_factory.mktemp("edits"), {})
    study.write("study.yaml", TWO)
    try:
        study.finish(study.start("--cores", "2", *sorted(ALL)))
        yield study
    finally:
        study.end()


@pytest.fixture
def folder(trained: StagedStudy) -> Iterator[StagedStudy]:
    """The trained study, whose config is put back after the test."""
    yield trained
    trained.write("study.yaml", TWO)
    trained.write("tables.yaml", TABLES)


def planned(study: StagedStudy) -> set[str]:
    """The runs that Snakemake would train for the tables, each by its metrics' path."""
    done = subprocess.run(
        [*study.snakemake, "--configfile", "study.yaml", "--cores", "1", "--dry-run", METRICS],
        cwd=study.folder,
        env=study.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    runs = [line.partition("train the runs of ")[2] for line in lines]
    return {f"results/staged/metrics/{run}/part.parquet" for run in runs if run}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"methods": {"gta": {"grid": [0.1, 1, 10]}}},
            {path_of(dataset, "gta-10") for dataset in DATASETS},
            id="one lambda more",
        ),
        pytest.param(
            {"seeds": [0, 1]},
            {path_of(dataset, key, seed=1) for dataset in DATASETS for key in KEYS},
            id="one seed more",
        ),
        pytest.param(
            {"overrides": [{"dataset": ["mini_far"], "recipe": {"lr": 5.0e-4}}]},
            FAR,
            id="another learning rate for one dataset",
        ),
        pytest.param(
            {"methods": {"gta": {"grid": [0.1, 1], "reduction": "mean"}}},
            {path for path in ALL if "method=gta" in path},
            id="another setting of one method",
        ),
    ],
)
def test_an_edit_trains_exactly_the_runs_that_it_changes(
    folder: StagedStudy, change: dict[str, Any], expected: set[str]
) -> None:
    folder.write("study.yaml", {**TWO, **change})
    assert planned(folder) == expected


def test_an_edit_is_seen_without_snakemakes_records(folder: StagedStudy) -> None:
    records = folder.folder / ".snakemake"
    records.rename(folder.folder / "aside")  # `make clean` removes them
    try:
        assert planned(folder) == set()
        change = {"overrides": [{"dataset": ["mini_far"], "recipe": {"lr": 5.0e-4}}]}
        folder.write("study.yaml", {**TWO, **change})
        assert planned(folder) == FAR
        folder.write("study.yaml", TWO)
        assert planned(folder) == set()
    finally:
        shutil.rmtree(records)
        (folder.folder / "aside").rename(records)


def test_tables_figures_and_comments_train_nothing(folder: StagedStudy) -> None:
    other = {**SPEC, "title": "Other", "caption": "Else.", "groups": [], "columns": ["source"]}
    cells = [{"source": ["main"], "method": ["gta"]}]
    figure = {"kind": "lambda", "title": "A", "caption": "B.", "cells": cells}
    folder.write(
        "tables.yaml", {"tables": {"small": other, "more": SPEC}, "figures": {"curve": figure}}
    )
    shown = {"tables": ["more", "small"], "figures": ["curve"], "figure_settings": {"images": 2}}
    folder.write("study.yaml", {**TWO, **shown, "threads": 2, "checkpoint_seconds": 60})
    file = folder.folder / "study.yaml"
    file.write_text(f"# a comment\n{file.read_text()}")
    assert planned(folder) == set()


def test_a_run_whose_metrics_are_moved_away_is_trained_alone(folder: StagedStudy) -> None:
    path = folder.folder / path_of("mini_near", "gta-1")
    aside = path.with_name("aside.parquet")
    path.rename(aside)
    try:
        assert planned(folder) == {path_of("mini_near", "gta-1")}
    finally:
        aside.rename(path)


def test_a_rerun_would_be_told_that_another_snakemake_is_at_work(
    folder: StagedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.folder)
    study = Study.load(["study.yaml"])
    targets = [path_of("mini_near", "gta-1")]
    Snakemake(study, None, []).check(targets)
    folder.write("study.yaml", {**TWO, "seeds": [0, 1]})
    folder.order("finetune-0", "ok", "ok", f"wait {folder.folder / 'go'}")
    head = folder.start("--cores", "1", METRICS)
    folder.wait_for("started", "finetune-0", 3)
    with pytest.raises(GtaError, match="another snakemake works on this study"):
        Snakemake(study, None, []).check(targets)
    (folder.folder / "go").touch()
    head.wait(300)


def test_snakemakes_own_complaint_is_passed_on(
    folder: StagedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.folder)
    study = Study.load(["study.yaml"])
    with pytest.raises(GtaError, match=r"snakemake: .*nonesuch.*; nothing was changed"):
        Snakemake(study, "nonesuch", []).check([path_of("mini_near", "gta-1")])
    with pytest.raises(GtaError, match=r"snakemake: .*No rule to produce nothing.*; nothing was"):
        Snakemake(study, None, []).check(["nothing"])


@pytest.mark.parametrize("arguments", [["--cores", "0"], ["--cores=0"], ["-j", "0"], ["-c0"]])
def test_no_cores_are_refused_before_anything_is_moved(
    folder: StagedStudy, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(folder.folder)
    with pytest.raises(GtaError, match="Snakemake would wait for ever; nothing was changed"):
        Snakemake(Study.load(["study.yaml"]), None, ["--quiet", *arguments]).check([])
