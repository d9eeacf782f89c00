"""Jobs: what repeats, what is done, stale or broken."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from gta import files, results
from gta.data.batches.augment import Evaluator
from gta.data.batches.loader import Loader
from gta.data.store import Store
from gta.errors import GtaError
from gta.models.sources import read_weights
from gta.results.writers import sole_writer
from gta.study import Run, Study
from gta.study.load import merge
from gta.train import job, learner, record, train_runs
from gta.train.job import lockstep_groups
from gta.train.learner import Learner
from tests.support.samples import files_below, random_store
from tests.train.runs import ROUGH, assert_same_results, every_kind, key_of, run_of


@pytest.mark.parametrize(
    ("method", "mix"), [("finetune", "transmix"), ("gta", "none"), ("bss", "none")]
)
def test_a_run_gives_the_same_numbers_again(make_study, method, mix):
    studies = [make_study(study=name, recipe=ROUGH) for name in ("one", "other")]
    run = run_of(studies[0], method, mix=mix)
    for number, study in enumerate(studies):
        # whatever other code drew before
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)
        train_runs(study, [run], "cpu")
    assert_same_results(studies[0], studies[1], [run])


def test_a_pack_leaves_what_its_runs_leave_alone(make_study):
    """Two seeds are two groups; in each, the runs train in lock-step and are tested together."""
    packed, alone = (make_study(study=name, recipe=ROUGH) for name in ("packed", "alone"))
    runs = [*every_kind(packed), run_of(packed, "gta", seed=1), run_of(packed, seed=1)]
    train_runs(packed, runs, "cpu")
    for run in runs:
        train_runs(alone, [run], "cpu")
    assert_same_results(packed, alone, runs)


def test_the_subset_follows_the_runs_seed_or_the_studys(make_study):
    def heldout(study: Study, seed: int) -> set[int]:
        run = run_of(study, seed=seed)
        train_runs(study, [run], "cpu")
        rows = results.read_part(study.run_files(run), "predictions").to_pylist()
        return {row["index"] for row in rows if row["split"] == "heldout"}

    drawn, fixed = make_study(study="drawn"), make_study(study="fixed", split={"seed": 1})
    assert heldout(drawn, 0) != heldout(drawn, 1)
    assert heldout(fixed, 0) == heldout(fixed, 1) == heldout(drawn, 1)


def test_lockstep_groups_see_the_same_batches_and_fit_in_memory(make_study, monkeypatch):
    study = make_study()
    runs = list(study.runs)
    found = list(lockstep_groups(study, runs))
    assert sorted(run for group in found for run in group) == runs
    assert {(group[0].rate, group[0].seed) for group in found} == {
        (rate, seed) for rate in (15, 100) for seed in (0, 1)
    }
    for group in found:
        assert len({key_of(study, run) for run in group}) == 1
    several = found[0]
    monkeypatch.setattr(job, "MOST_RUNS", 3)
    assert [len(group) for group in lockstep_groups(study, several)] == [3] * (
        len(several) // 3
    ) + [len(several) % 3] * (len(several) % 3 > 0)
    size = 3 * study.weights("tiny_ibot").stat().st_size
    for room, expected in ((2.5 * size, 2), (size, 1), (1, 1)):
        monkeypatch.setattr(job, "MOST_BYTES", room)
        assert len(next(iter(lockstep_groups(study, several)))) == expected
    assert list(lockstep_groups(study, [])) == []


def test_test_images_are_made_once_for_all_runs(make_study, monkeypatch):
    study = make_study()
    made = []
    original = Evaluator.empty

    def record(self: Evaluator, images: int, *how: bool) -> Any:
        made.append(images)
        return original(self, images, *how)

    monkeypatch.setattr(Evaluator, "empty", record)
    train_runs(study, [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, "bss")], "cpu")
    assert made == [12, 24]  # test, held out


def test_the_log_names_the_device_and_says_how_long_training_waited_for_images(
    make_study, capsys, monkeypatch
):
    study = make_study()
    closed = []
    close = Loader.close

    def closing(self: Loader) -> None:
        closed.append(self.waited)
        close(self)

    monkeypatch.setattr(Loader, "close", closing)
    train_runs(study, [run_of(study), run_of(study, "bss")], "cpu")
    device, line = capsys.readouterr().err.splitlines()
    assert device == f"device cpu, torch {torch.__version__}, {torch.get_num_threads()} threads"
    said = re.fullmatch(r"waited for images: ([\d.]+) s of ([\d.]+) s \(([\d.]+)%\)", line)
    assert said is not None
    assert len(closed) == 1
    assert float(said[1]) == pytest.approx(closed[0], abs=0.06)
    assert float(said[1]) <= float(said[2])
    assert 0 < float(said[3]) < 100


def test_each_source_is_read_once(make_study, monkeypatch):
    study = make_study()
    read: list[Path] = []
    original = Path.read_bytes

    def reading(self: Path) -> bytes:
        read.append(self)
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", reading)
    for opener in ("safe_open", "load_file"):
        monkeypatch.setattr(f"gta.models.sources.{opener}", None, raising=False)
    runs = [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, source="tiny_supervised")]
    train_runs(study, runs, "cpu")
    sources = [study.weights(name) for name in ("tiny_ibot", "tiny_supervised")]
    assert sorted(path for path in read if path.suffix == ".safetensors") == sorted(sources)


def test_progress_is_told_each_iteration(make_study):
    study = make_study()
    run = run_of(study)
    told: list[tuple[Run, int, int]] = []
    train_runs(study, [run], "cpu", lambda *said: told.append(said))
    assert told == [(run, i, 4) for i in (1, 2, 3, 4)]


DIVERGING = 100.0  # the largest that a config may ask for


@pytest.fixture(autouse=True)
def _divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest learning rate breaks the weights in one step."""
    rate = learner.learning_rate
    monkeypatch.setattr(
        learner,
        "learning_rate",
        lambda recipe, iteration: 1e30 if recipe.lr == DIVERGING else rate(recipe, iteration),
    )


@pytest.fixture
def done(make_study: Callable[..., Study]) -> tuple[Study, Run, Path]:
    """A trained run and its metrics, an hour old."""
    study = make_study()
    run = run_of(study)
    train_runs(study, [run], "cpu")
    path = study.run_files(run).metrics
    hour_ago = path.stat().st_mtime - 3600
    os.utime(path, (hour_ago, hour_ago))
    return study, run, path


def test_a_valid_result_is_touched_and_left_as_it_is(done, monkeypatch):
    study, run, path = done
    before, content = path.stat(), path.read_bytes()
    monkeypatch.setattr(job, "Learner", None)
    train_runs(study, [run], "cpu")
    assert path.stat().st_ino == before.st_ino
    assert path.read_bytes() == content
    assert path.stat().st_mtime > before.st_mtime + 3000


def other_recipe(study: Study, run: Run) -> Study:
    return Study(merge(study.content, {"recipe": {"lr": 5e-4}}))


def other_data(study: Study, run: Run) -> Study:
    random_store(study.store(run.dataset), seed=9)
    return study


def other_source(study: Study, run: Run) -> Study:
    weights = read_weights(study.weights(run.source))
    save_file({**weights, "norm.bias": weights["norm.bias"] + 1}, study.weights(run.source))
    return study


def no_weights(study: Study, run: Run) -> Study:
    study.run_files(run).weights.unlink()
    return study


def cut_metrics(study: Study, run: Run) -> Study:
    path = study.run_files(run).metrics
    path.write_bytes(path.read_bytes()[:100])
    return study


@pytest.mark.parametrize(
    "change", [other_recipe, other_data, other_source, no_weights, cut_metrics]
)
def test_a_result_that_is_not_valid_is_made_again(done, change):
    study, run, path = done
    before = path.stat().st_ino
    study = change(study, run)
    train_runs(study, [run], "cpu")
    assert path.stat().st_ino != before
    store = Store(study.store(run.dataset))
    origin = results.Origin(store.digest, files.file_digest(study.weights(run.source)))
    assert results.state_of(study.run_files(run), origin).state == "done"


def test_a_run_that_another_job_trains_is_waited_for(done, monkeypatch):
    study, run, path = done
    away = path.rename(path.with_name("away"))
    said = []
    other_job = ExitStack()

    def say(line: str) -> None:  # the other job ends as soon as it is waited for
        said.append(line)
        if "waiting" in line:
            away.rename(path)
            other_job.close()

    monkeypatch.setattr(job, "say", say)
    monkeypatch.setattr(job, "Learner", None)
    with other_job:
        other_job.enter_context(sole_writer(study.run_files(run)))
        train_runs(study, [run], "cpu")
    waits = f"{study.title(run)}: waiting for the job that trains it, process {os.getpid()} on "
    assert said[1].startswith(waits)
    assert results.state_of(study.run_files(run)).state == "done"


def test_a_diverged_run_says_where_and_the_others_are_trained(make_study):
    study = make_study(overrides=[{"method": ["gta"], "recipe": {"lr": DIVERGING}}])
    runs = [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, seed=1)]
    with pytest.raises(GtaError) as raised:
        train_runs(study, runs, "cpu")
    said = str(raised.value)
    assert said.startswith("1 run(s) failed; the first, mini_near 15 %, tiny_ibot, gta, lambda 1")
    assert "the loss is not finite at iteration 1 (cross_entropy nan, gta nan)" in said
    assert "lower recipe.lr" in said
    assert "\n" not in said
    failed = runs[1]
    assert study.run_files(failed).failure.read_text().startswith("the loss is not finite")
    for kind in ("metrics", "history", "predictions", "models"):
        assert not study.run_files(failed).path(kind).exists()
    assert [results.state_of(study.run_files(run)).state for run in runs] == [
        "done",
        "failed",
        "done",
    ]


def test_a_run_that_works_again_takes_its_failure_back(make_study):
    broken = make_study(recipe={"lr": DIVERGING})
    run = run_of(broken)
    with pytest.raises(GtaError, match=r"1 run\(s\) failed"):
        train_runs(broken, [run], "cpu")
    study = make_study()
    train_runs(study, [run], "cpu")
    assert not study.run_files(run).failure.exists()
    assert results.state_of(study.run_files(run)).state == "done"


def test_a_stale_result_does_not_hide_a_failure(done):
    study, run, path = done
    broken = Study(merge(study.content, {"recipe": {"lr": DIVERGING}}))
    with pytest.raises(GtaError, match=r"1 run\(s\) failed"):
        train_runs(broken, [run], "cpu")
    assert results.state_of(broken.run_files(run)).state == "failed"
    assert path.exists()  # what was there is valid again once the config is
    assert results.state_of(study.run_files(run)).state == "done"
    train_runs(study, [run], "cpu")
    assert not study.run_files(run).failure.exists()


def test_a_last_step_that_breaks_the_weights_is_a_failure(make_study):
    study = make_study(recipe={"iterations": 1, "lr": DIVERGING})
    with pytest.raises(GtaError, match="the test loss is nan after the last iteration; lower"):
        train_runs(study, [run_of(study)], "cpu")


def test_a_run_killed_at_once_leaves_no_result(make_study):
    study = make_study()

    def kill(run: Run, iterations: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_runs(study, [run_of(study)], "cpu", kill)
    assert [Path(name).suffix for name in files_below(study.folder)] == [".lock"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda s: s.weights("tiny_supervised").unlink(),
            r"tiny_supervised-\w+.safetensors: cannot be",
        ),
        (lambda s: (s.store("mini_near") / "store.json").unlink(), "store.json: missing; `gta"),
    ],
)
def test_inputs_are_looked_at_before_anything_is_trained(make_study, harm, message):
    study = make_study()
    harm(study)
    with pytest.raises(GtaError, match=message):
        train_runs(study, [run_of(study), run_of(study, source="tiny_supervised")], "cpu")
    assert not study.folder.exists()


def test_a_source_that_does_not_fit_is_a_failure_of_its_runs(make_study):
    study = make_study()
    weights = read_weights(study.weights("tiny_supervised"))
    del weights["norm.bias"]
    save_file(weights, study.weights("tiny_supervised"))
    runs = [run_of(study, source="tiny_supervised"), run_of(study)]
    with pytest.raises(GtaError, match=r"lacks 1 of the model's keys: norm.bias"):
        train_runs(study, runs, "cpu")
    assert [results.state_of(study.run_files(run)).state for run in runs] == ["failed", "done"]


# Errors of one run


def broken(method: str, error: Exception) -> Callable[..., Any]:
    """``Learner.add`` that fails for the runs of a method."""
    add = Learner.add

    def adding(self: Learner, *arguments: Any) -> None:
        if self.run.method == method:
            raise error
        add(self, *arguments)

    return adding


def no_room(*_: Any, **__: Any) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device")


def test_an_unexpected_error_of_one_run_fails_that_run_alone(make_study, monkeypatch, capsys):
    study = make_study()
    runs = [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, "bss")]
    monkeypatch.setattr(Learner, "add", broken("gta", ValueError("odd\nmore")))
    with pytest.raises(GtaError, match=r"1 run\(s\) failed; .*: iteration 0: ValueError: odd$"):
        train_runs(study, runs, "cpu")
    assert [results.state_of(study.run_files(run)).state for run in runs] == [
        "done",
        "failed",
        "done",
    ]
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_under_the_weights_fails_the_runs_that_keep_some(make_study, monkeypatch):
    study = make_study(keep_weights="figures", figures=["figure4"])
    runs = [run_of(study), run_of(study, "bss")]
    monkeypatch.setattr(Study, "keeps_weights", lambda self, run: run == runs[0])
    monkeypatch.setattr(record, "save_file", no_room)
    with pytest.raises(GtaError, match=r"model\.safetensors: cannot be written: .* No space"):
        train_runs(study, runs, "cpu")
    assert [results.state_of(study.run_files(run)).state for run in runs] == ["failed", "done"]


def test_a_note_that_cannot_be_written_stops_no_other_run(make_study, monkeypatch, capsys):
    study = make_study()
    runs = [run_of(study, "gta", lam=1.0), run_of(study)]
    study.folder.mkdir(parents=True)
    (study.folder / "failures").write_text("in the way")
    monkeypatch.setattr(Learner, "add", broken("gta", GtaError("no")))
    with pytest.raises(GtaError, match=r"1 run\(s\) failed; .*: no$"):
        train_runs(study, runs, "cpu")
    assert results.state_of(study.run_files(runs[1])).state == "done"
    assert " failed: no" in capsys.readouterr().err


def test_a_test_that_one_model_breaks_is_repeated_for_each_alone(make_study, monkeypatch):
    study = make_study()
    runs = [run_of(study), run_of(study, "gta", lam=1.0)]
    evaluate = job.evaluate_each

    def evaluating(models: Any, *rest: Any, **more: Any) -> Any:
        if any(model.broken for model in models):
            raise RuntimeError("CUDA error")
        return evaluate(models, *rest, **more)

    def finish(self: Learner) -> None:
        original(self)
        setattr(self.model, "broken", self.run.method == "gta")  # noqa: B010

    original = Learner.finish
    monkeypatch.setattr(Learner, "finish", finish)
    monkeypatch.setattr(job, "evaluate_each", evaluating)
    with pytest.raises(GtaError, match=r"gta, lambda 1, seed 0: test: RuntimeError: CUDA error"):
        train_runs(study, runs, "cpu")
    assert [results.state_of(study.run_files(run)).state for run in runs] == ["done", "failed"]
