"""Checkpoints: an interrupted run ends as one that was not."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gta import results
from gta.errors import GtaError
from gta.models.sources import read_weights
from gta.study import Run, Study
from gta.study.load import merge
from gta.train import Progress, Stopped, checkpoint, train_runs
from gta.train.checkpoint import CheckpointWriter, Identity, load, save
from gta.train.signals import Signals
from tests.support.samples import files_below, random_store
from tests.train.runs import ROUGH, assert_same_results, every_kind, fit, learners_of, run_of, same

ALWAYS = 1e-9  # seconds: a checkpoint after each iteration
EVENTFUL = {**ROUGH, "iterations": 6}


def at(iteration: int, act: Callable[[], None]) -> Progress:
    """Do something once the first run has done so many iterations."""
    told: list[int] = []

    def progress(run: Run, done: int, of: int) -> None:
        told.append(done)
        if told.count(iteration) == 1 and done == iteration:
            act()

    return progress


def receive(number: signal.Signals) -> Callable[[], None]:
    """Send this process a signal."""
    return lambda: os.kill(os.getpid(), number)


def die() -> None:
    """End as a kill does: nothing more is written."""
    raise KeyboardInterrupt


def interrupt(study: Study, runs: list[Run], iteration: int) -> None:
    """Train until so many iterations are done and checkpoints of them are written."""
    with pytest.raises(Stopped):
        train_runs(study, runs, "cpu", at(iteration, receive(signal.SIGTERM)))


@pytest.fixture
def interrupted(make_study: Callable[..., Study]) -> tuple[Study, Run, Path]:
    """A run whose checkpoint holds two of its four iterations."""
    study = make_study()
    run = run_of(study, "l2_sp")
    interrupt(study, [run], 2)
    return study, run, study.run_files(run).checkpoint


def iterations_trained(study: Study, run: Run) -> list[int]:
    """Train a run to its end and tell which iterations that took."""
    told: list[int] = []
    train_runs(study, [run], "cpu", lambda run, done, of: told.append(done))
    return told


# The same numbers


@pytest.mark.parametrize(
    ("number", "precision", "every"),
    [(signal.SIGTERM, "float32", 1), (signal.SIGUSR1, "float16", 5)],
)
def test_an_interrupted_pack_ends_with_the_numbers_of_an_unbroken_one(
    make_study, capsys, number, precision, every
):
    recipe = {**EVENTFUL, "precision": precision}
    unbroken, broken = (make_study(study=s, recipe=recipe, heldout_every=4) for s in "ab")
    runs = every_kind(unbroken)[::every]
    train_runs(unbroken, runs, "cpu")
    for iteration in (1, 4):
        with pytest.raises(Stopped) as stopped:
            train_runs(broken, runs, "cpu", at(iteration, receive(number)))
        assert stopped.value.code == 128 + number
        assert f"stopped by {number.name}; the next attempt resumes" in capsys.readouterr().err
        assert all(broken.run_files(run).checkpoint.exists() for run in runs)
        assert not (broken.folder / "metrics").exists()
    told: list[int] = []
    train_runs(broken, runs, "cpu", lambda run, done, of: told.append(done))
    assert sorted(told) == sorted([5, 6] * len(runs))
    assert capsys.readouterr().err.count("resumes from iteration 4") == len(runs)
    assert_same_results(broken, unbroken, runs)
    assert not (broken.folder / "checkpoints").exists()


def test_a_run_killed_without_warning_goes_on_from_the_last_interval(make_study):
    unbroken, broken = (
        make_study(study=name, recipe=EVENTFUL, checkpoint_seconds=ALWAYS) for name in "ab"
    )
    runs = [run_of(broken, "bss", lam=0.001), run_of(broken, "gta", lam=1.0, mix="transmix")]
    train_runs(unbroken, runs, "cpu")
    with pytest.raises(KeyboardInterrupt):
        train_runs(broken, runs, "cpu", at(3, die))
    told: list[int] = []
    train_runs(broken, runs, "cpu", lambda run, done, of: told.append(done))
    assert told == [3, 3, 4, 4, 5, 5, 6, 6]
    assert_same_results(broken, unbroken, runs)


def test_runs_of_one_pack_may_have_been_interrupted_at_different_iterations(make_study):
    unbroken, broken = (make_study(study=name, recipe=EVENTFUL) for name in "ab")
    runs = [run_of(broken), run_of(broken, "gta", lam=1.0), run_of(broken, "l2_sp")]
    train_runs(unbroken, runs, "cpu")
    interrupt(broken, runs[:2], 4)
    interrupt(broken, runs[:1], 5)
    train_runs(broken, runs, "cpu")
    assert_same_results(broken, unbroken, runs)


def test_an_interruption_during_the_test_keeps_the_training(make_study, monkeypatch):
    study, unbroken = make_study(study="a"), make_study(study="b")
    run = run_of(study)
    train_runs(unbroken, [run], "cpu")
    interrupt(study, [run], 4)  # after the last iteration: its first check is after that
    assert iterations_trained(study, run) == []
    assert_same_results(study, unbroken, [run])


def test_seconds_go_on_too(interrupted):
    study, run, path = interrupted
    state = torch.load(path, weights_only=True)["state"]
    assert state["seconds"] > 0
    train_runs(study, [run], "cpu")
    assert (
        results.read_part(study.run_files(run), "metrics")["seconds"][0].as_py() > state["seconds"]
    )


# When they are written


def test_one_is_written_at_each_interval_and_none_before(make_study, monkeypatch):
    now = 0.0
    written = []
    original = checkpoint.save
    monkeypatch.setattr("time.monotonic", lambda: now)

    def noting(path: Path, identity: Identity, state: dict) -> None:
        written.append(state["iteration"])
        original(path, identity, state)

    def minute(run: Run, done: int, of: int) -> None:
        nonlocal now
        now += 60

    monkeypatch.setattr(checkpoint, "save", noting)
    study = make_study(recipe={"iterations": 10}, checkpoint_seconds=180)
    train_runs(study, [run_of(study)], "cpu", minute)
    assert written == [3, 6, 9]


def test_nothing_is_written_where_the_interval_is_long(make_study, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", None)
    study = make_study()
    train_runs(study, [run_of(study)], "cpu")
    assert not (study.folder / "checkpoints").exists()


def test_a_checkpoint_that_cannot_be_written_stops_no_training(make_study, capsys):
    study = make_study(checkpoint_seconds=ALWAYS)
    run = run_of(study)
    (study.folder / "checkpoints").parent.mkdir(parents=True)
    (study.folder / "checkpoints").write_text("in the way")
    train_runs(study, [run], "cpu")
    assert "\nwarning: no checkpoint: " in capsys.readouterr().err
    assert results.state_of(study.run_files(run)).state == "done"


def test_a_full_disk_is_one_error_and_leaves_what_was_there(interrupted):
    _, run, path = interrupted
    before = path.read_bytes()
    state = torch.load(path, weights_only=True)["state"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(GtaError, match=r"checkpoint\.pt: cannot be written: ") as raised:
            save(path, Identity(run.name, "a", "b", "c"), state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
    assert set(path.parent.iterdir()) == {path, path.with_suffix(".json")}


def test_a_run_that_fails_keeps_its_checkpoint(interrupted, monkeypatch):
    """Where the results found no room, the training need not be done again."""
    study, run, path = interrupted
    (study.folder / "history").write_text("in the way")
    with pytest.raises(GtaError, match=r"1 run\(s\) failed"):
        train_runs(study, [run], "cpu")
    assert path.exists()


def test_what_killed_writers_left_half_written_is_removed(interrupted):
    study, run, path = interrupted
    halves = [path.with_name(".checkpoint.x1.pt")]
    halves += [study.run_files(run).metrics.with_name(".part.x2.parquet")]
    halves += [study.run_files(run).weights.with_name(".model.x3.safetensors")]
    for half in halves:
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(b"half")
    train_runs(study, [run], "cpu")
    assert not [name for name in files_below(study.folder) if Path(name).name.startswith(".")]


def test_the_checkpoint_of_a_run_killed_at_its_very_end_is_removed(interrupted):
    study, run, path = interrupted
    content = path.read_bytes()
    train_runs(study, [run], "cpu")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert iterations_trained(study, run) == []
    assert not (study.folder / "checkpoints").exists()


def test_a_signal_that_comes_as_it_is_looked_for_is_acted_on_the_next_time(make_study):
    study = make_study()
    run = run_of(study)
    looks = iter([None, *[signal.SIGTERM] * 9])

    class Late(Signals):
        received = property(lambda self: next(looks), lambda self, value: None)

    keep = CheckpointWriter(study, {run: results.Origin("data", "source")}, Late())
    learner = fit(study, run)
    keep([learner])
    assert not study.run_files(run).checkpoint.exists()
    with pytest.raises(Stopped):
        keep([learner])
    assert study.run_files(run).checkpoint.exists()


# What is not gone on from


def other_recipe(study: Study, run: Run) -> Study:
    return Study(merge(study.content, {"recipe": {"lr": 5e-4}}))


def other_data(study: Study, run: Run) -> Study:
    random_store(study.store(run.dataset), seed=9)
    return study


def other_source(study: Study, run: Run) -> Study:
    weights = read_weights(study.weights(run.source))
    save_file({**weights, "norm.bias": weights["norm.bias"] + 1}, study.weights(run.source))
    return study


def other_run(study: Study, run: Run) -> Study:
    other = run_of(study, "l2_sp", seed=1)
    interrupt(study, [other], 3)
    study.run_files(other).checkpoint.replace(study.run_files(run).checkpoint)
    return study


def other_version(study: Study, run: Run) -> Study:
    path = study.run_files(run).checkpoint
    content = torch.load(path, weights_only=True)
    content["identity"]["format"] -= 1
    torch.save(content, path)
    return study


@pytest.mark.parametrize(
    "change", [other_recipe, other_data, other_source, other_run, other_version]
)
def test_a_checkpoint_of_something_else_is_deleted(interrupted, capsys, change):
    study, run, path = interrupted
    study = change(study, run)
    capsys.readouterr()
    assert iterations_trained(study, run) == [1, 2, 3, 4]
    said = capsys.readouterr().err
    _, told, waited = said.splitlines()
    assert told == (
        f"{path}: of other settings, data, source or version: deleted; training starts again"
    )
    assert waited.startswith("waited for images: ")
    assert not path.exists()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def flipped(content: bytes) -> bytes:
    """One bit of the largest part, a weight or a moment, is another."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("harm", [cut, zeroed, flipped, empty])
def test_a_damaged_checkpoint_is_set_aside(interrupted, capsys, harm):
    study, run, path = interrupted
    path.write_bytes(harm(path.read_bytes()))
    damaged = path.read_bytes()
    capsys.readouterr()
    identity = Identity.of(study.run_files(run), results.Origin("data", "source"))
    assert load(path, identity) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {path}: damaged (")
    assert line.endswith("), set aside as damaged.pt; training starts again")
    assert path.with_name("damaged.pt").read_bytes() == damaged
    assert iterations_trained(study, run) == [1, 2, 3, 4]
    assert not (study.folder / "checkpoints").exists()
    alone = fit(study, run)
    assert alone.history == [
        {**row} for row in results.read_part(study.run_files(run), "history").to_pylist()
    ]


def test_a_checkpoint_runs_no_code(interrupted, capsys):
    """It is read without unpickling objects."""
    study, run, path = interrupted
    torch.save({"identity": {}, "state": Path("x")}, path)
    assert iterations_trained(study, run) == [1, 2, 3, 4]
    assert "damaged (Weights only load failed)" in capsys.readouterr().err


def test_how_far_a_run_is_stands_beside_its_checkpoint(interrupted):
    study, run, path = interrupted
    progress = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (progress["iteration"], progress["iterations"]) == (2, 4)
    assert progress["seconds"] > 0
    assert datetime.fromisoformat(progress["updated"]).tzinfo is not None
    train_runs(study, [run], "cpu")
    assert not path.parent.exists()


def test_a_state_is_taken_back_bit_for_bit(interrupted):
    study, run, path = interrupted
    state = torch.load(path, weights_only=True)["state"]
    assert state["iteration"] == len(state["history"]) == 2
    (learner,), _ = learners_of(study, [run])
    assert not same(learner.model.state_dict(), state["model"])
    learner.restore(state)
    assert same(learner.model.state_dict(), state["model"])
    again = learner.state()
    for number, moments in state["optimiser"]["state"].items():
        assert same(moments, again["optimiser"]["state"][number])
