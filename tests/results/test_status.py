"""Where runs stand, told from files; how much is left, told from the runs that are done."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gta import files, results
from gta.results import Origin
from gta.results.status import Monitor, Saved, Snapshot, Timing, read_saved
from gta.results.writers import sole_writer
from gta.study import Run, RunFiles, Study
from tests.support.left import fail, finish


def no_origins(run: Run) -> Origin | None:
    return None


def test_each_run_stands_somewhere(tiny_study: Study) -> None:
    done, stale, failed, again, running, damaged = tiny_study.runs[:6]
    finish(tiny_study, done)
    finish(tiny_study, stale, recipe_digest="another")
    fail(tiny_study, failed, "the loss is not finite")
    fail(tiny_study, again, "an old reason")
    files.write_text(tiny_study.run_files(damaged).metrics, "no Parquet")
    with sole_writer(tiny_study.run_files(running)), sole_writer(tiny_study.run_files(again)):
        seen = Monitor(tiny_study, no_origins).look()
    assert seen.runs("done") == [done]
    assert seen.runs("running") == [again, running]
    assert seen.runs("failed") == [failed]
    assert dict(seen.reasons) == {failed: "the loss is not finite"}
    assert len(seen.runs("queued")) == len(tiny_study.runs) - 4
    assert {stale, damaged} < set(seen.runs("queued"))
    assert seen.saved == {again: Saved(), running: Saved()}


def test_a_result_of_other_data_is_queued(tiny_study: Study) -> None:
    finish(tiny_study, tiny_study.runs[0], data_digest="old", source_digest="s")
    monitor = Monitor(tiny_study, lambda run: Origin("new", "s"))
    assert monitor.look().runs("done") == []


def test_it_sees_what_changes_and_reads_nothing_twice(
    tiny_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tiny_study.runs[:2]
    finish(tiny_study, first)
    monitor = Monitor(tiny_study, no_origins)
    assert monitor.look().runs("done") == [first]
    read: list[Run] = []
    original = results.read_part

    def read_part(run_files: RunFiles, kind: results.Kind) -> Any:
        read.append(run_files.run)
        return original(run_files, kind)

    monkeypatch.setattr(results, "read_part", read_part)
    finish(tiny_study, second)
    assert monitor.look().runs("done") == [first, second]
    assert set(read) == {second}
    finish(tiny_study, first, recipe_digest="another")
    os.utime(tiny_study.run_files(first).metrics, (1, 1))  # whatever the clock's steps are
    assert monitor.look().runs("done") == [second]
    tiny_study.run_files(second).metrics.unlink()
    assert monitor.look().runs("done") == []


# How much is left


def snapshot(study: Study, where: dict[Run, Any], **more: Any) -> Snapshot:
    stands = {run: where.get(run, "queued") for run in study.runs}
    return Snapshot(
        study,
        datetime(2026, 1, 1, tzinfo=UTC),
        stands,
        **{"timings": {}, "reasons": {}, "saved": {}, **more},
    )


def test_what_is_left_is_counted_by_the_runs_of_one_kind(tiny_config: dict[str, Any]) -> None:
    study = Study({**tiny_config, "overrides": [{"rate": [100], "recipe": {"iterations": 10}}]})
    gta = [run for run in study.runs if run.method == "gta"]
    l2_sp = next(run for run in study.runs if run.method == "l2_sp" and run.rate == 15)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    timings = {
        gta[0]: Timing(8.0, 32, now),
        gta[1]: Timing(16.0, 32, now),
        l2_sp: Timing(64.0, 32, now),
    }
    half = next(run for run in gta[2:] if run.rate == 15)
    seen = snapshot(
        study,
        {**dict.fromkeys(timings, "done"), half: "running"},
        timings=timings,
        saved={half: Saved(2, 8.0)},
    )
    expected = 0.0
    for run in study.runs:
        if run in timings:
            continue
        iterations = 10 if run.rate == 100 else 4
        iterations -= 2 if run == half else 0
        an_image = {"gta": (8 / 32 + 16 / 32 + 8 / 16) / 3, "l2_sp": 64 / 32}.get(
            run.method, (8 / 32 + 16 / 32 + 8 / 16 + 64 / 32) / 4
        )
        expected += iterations * 8 * an_image
    assert seen.seconds_left == pytest.approx(expected)
    assert seen.speed == pytest.approx(96 / 88)


def test_checkpoints_tell_before_a_run_is_done(tiny_study: Study) -> None:
    one, two = tiny_study.runs[:2]
    saved = {one: Saved(3, 6.0), two: Saved()}
    seen = snapshot(tiny_study, dict.fromkeys(saved, "running"), saved=saved)
    assert seen.speed == pytest.approx(3 * 8 / 6)
    iterations = 4 * len(tiny_study.runs) - 3  # at 2 s each
    assert seen.seconds_left == pytest.approx(2 * iterations)


def test_nothing_is_told_before_anything_is_saved(tiny_study: Study) -> None:
    seen = snapshot(tiny_study, {})
    assert seen.seconds_left is None
    assert seen.speed is None
    assert seen.recent == 0


def test_runs_of_one_pack_are_one_job(tiny_config: dict[str, Any]) -> None:
    study = Study({**tiny_config, "pack": ["source", "method", "mix", "lam"]})
    running = {run: "running" for run in study.runs if run.dataset == "mini_far"}
    assert snapshot(study, running).jobs == 4  # rates x seeds
    alone = Study(tiny_config)
    assert snapshot(alone, running).jobs == len(running)


def test_the_last_hour(tiny_study: Study) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ages = [timedelta(minutes=minutes) for minutes in (1, 59, 61)]
    timings = {
        run: Timing(1.0, 1, now - age) for run, age in zip(tiny_study.runs, ages, strict=False)
    }
    assert snapshot(tiny_study, {}, timings=timings).recent == 2


# What stands beside a checkpoint


def test_how_far_a_checkpoint_is(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    assert read_saved(path) == Saved()
    path.write_text('{"iteration": 1200, "iterations": 3000, "seconds": 9.5, "updated": "now"}')
    assert read_saved(path) == Saved(1200, 9.5)
    for content in ("", "{", "[]", "{}", '{"iteration": null, "seconds": 1}', '"text"'):
        path.write_text(content)
        assert read_saved(path) == Saved()
