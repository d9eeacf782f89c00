"""Marks that make Snakemake redo results whose dates do not show that they are outdated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gta import results
from gta.study import Run, Study
from gta.workflow.outdated import mark_of_collected, mark_of_pack, mark_outdated
from tests.support.left import finish


@pytest.fixture
def config(tiny_config: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_config, "pack": ["method", "lam"], "seeds": [0], "rates": [100]}


@pytest.fixture
def study(config: dict[str, Any], workdir: Path) -> Study:
    """A study whose runs are all done and collected."""
    study = Study(config)
    for run in study.runs:
        finish(study, run)
    collect(study)
    return study


def collect(study: Study) -> None:
    table, _ = results.collect_metrics(study, lambda run: None)
    results.write_collected(study, table)


def marked(study: Study) -> tuple[set[Run], bool]:
    """The runs of marked packs, and whether the collected metrics are marked."""
    mark_outdated(study)
    packs = [pack for pack in study.packs if mark_of_pack(study, pack)]
    return {run for pack in packs for run in pack.runs}, bool(mark_of_collected(study))


def test_current_results_and_none_at_all_have_no_mark(study: Study, config: dict[str, Any]) -> None:
    assert marked(study) == (set(), False)
    assert marked(Study({**config, "study": "empty"})) == (set(), False)
    assert not Path("results/empty").exists()


def test_other_settings_mark_the_jobs_of_their_runs(study: Study, config: dict[str, Any]) -> None:
    overrides = [{"dataset": ["mini_far"], "recipe": {"lr": 5.0e-4}}]
    changed = Study({**config, "overrides": overrides})
    far = {run for run in changed.runs if run.dataset == "mini_far"}
    assert marked(changed) == (far, True)
    # also what was not collected before the edit
    (study.folder / "metrics.parquet").unlink()
    for path in (study.folder / "outdated").rglob("*.txt"):
        path.unlink()
    assert marked(changed) == (far, False)


def test_a_seed_less_marks_the_collected_metrics_alone(
    config: dict[str, Any], study: Study
) -> None:
    more = Study({**config, "seeds": [0, 1]})
    for run in more.runs:
        finish(more, run)
    collect(more)
    assert marked(more) == (set(), False)
    assert marked(study) == (set(), True)


def test_a_part_that_is_moved_away_marks_the_collected_metrics(study: Study) -> None:
    study.run_files(study.runs[0]).metrics.unlink()
    assert marked(study) == (set(), True)


def test_collected_metrics_alone_are_left_as_they_are(study: Study) -> None:
    for run in study.runs:
        study.run_files(run).metrics.unlink()
    assert marked(study) == (set(), False)


def test_weights_that_are_newly_kept_mark_every_job(study: Study, config: dict[str, Any]) -> None:
    assert marked(Study({**config, "keep_weights": "all"})) == ({*study.runs}, False)


def test_a_damaged_part_that_is_not_collected_marks_its_job(study: Study) -> None:
    run = study.runs[0]
    collected = study.folder / "metrics.parquet"
    collected.unlink()
    study.run_files(run).metrics.write_bytes(b"PAR1 and no more")
    runs, _ = marked(study)
    assert run in runs
    assert len(runs) == len(study.runs) // 2  # those of the same dataset


def test_a_mark_lasts_until_the_result_is_newer_and_never_holds_the_same_twice(
    study: Study, config: dict[str, Any]
) -> None:
    changed = Study({**config, "recipe": {**config["recipe"], "lr": 5.0e-4}})
    mark_outdated(changed)
    (mark,) = mark_of_pack(changed, changed.packs[0])
    first = mark.read_text()
    mark_outdated(changed)
    assert mark.read_text() == first
    assert (
        mark.stat().st_mtime_ns
        > study.run_files(changed.packs[0].runs[0]).metrics.stat().st_mtime_ns
    )
    mark_outdated(study)  # the edit is taken back
    assert not mark.exists()
    mark_outdated(changed)
    first = mark.read_text()
    for run in changed.runs:
        finish(changed, run)
    collect(changed)
    mark_outdated(changed)
    assert mark.read_text() == first  # kept: the job's inputs stay the same
    for run in study.runs:  # the old results again
        finish(study, run)
    collect(study)
    mark_outdated(changed)
    assert mark.read_text() != first
