"""Results are set aside whole and brought back whole; nothing is lost on either way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gta import files, results
from gta.errors import GtaError
from gta.results.retire import KINDS, restore, retire
from gta.results.writers import sole_writer
from gta.study import Run, Study
from tests.support.left import checkpoint, contents, fail, finish


@pytest.fixture
def runs(tiny_study: Study) -> list[Run]:
    """Two runs that are done, one of them with all that a run may leave."""
    runs = list(tiny_study.runs[:2])
    for acc1, run in enumerate(runs):
        finish(tiny_study, run, acc1=float(acc1))
    files.write_text(tiny_study.run_files(runs[0]).weights, "weights")
    checkpoint(tiny_study, runs[0])
    fail(tiny_study, runs[0], "an old reason")
    return runs


def state(study: Study, run: Run) -> str:
    return results.state_of(study.run_files(run)).state


def test_retired_results_lie_elsewhere_as_they_lay(tiny_study: Study, runs: list[Run]) -> None:
    other = tiny_study.runs[2]
    finish(tiny_study, other)
    before = contents(tiny_study.folder)
    folder = retire(tiny_study, runs)
    assert folder.parent == tiny_study.folder / "retired"
    moved = contents(folder)
    assert {name.partition("/")[0] for name in moved} == set(KINDS)
    assert contents(folder) == {k: v for k, v in before.items() if other.name not in k}
    assert [state(tiny_study, run) for run in (*runs, other)] == ["missing", "missing", "done"]


def test_what_returns_is_as_it_was(tiny_study: Study, runs: list[Run]) -> None:
    before = contents(tiny_study.folder)
    assert restore(tiny_study, retire(tiny_study, runs), runs) == runs
    assert contents(tiny_study.folder) == before
    assert not (tiny_study.folder / "retired").exists()


def test_a_new_result_stays_and_its_old_one_stays_retired(
    tiny_study: Study, runs: list[Run]
) -> None:
    folder = retire(tiny_study, runs)
    finish(tiny_study, runs[1], acc1=77.0)
    assert restore(tiny_study, folder, runs) == [runs[0]]
    found = results.read(tiny_study, "metrics", runs)["acc1"].to_pylist()
    assert found == [0.0, 77.0]
    assert {name.split("seed=")[0] for name in contents(folder)} == {
        f"{kind}/{runs[1].name.split('seed=')[0]}" for kind in ("metrics", "history", "predictions")
    }


def test_what_a_failed_attempt_left_gives_way_but_for_its_reason_and_checkpoint(
    tiny_study: Study, runs: list[Run]
) -> None:
    run = runs[0]
    old = tiny_study.run_files(run).path("history").read_bytes()
    folder = retire(tiny_study, [run])
    results.write(tiny_study.run_files(run), "history", [{"iteration": 9}])
    new = checkpoint(tiny_study, run, "a new one")
    fail(tiny_study, run, "a new reason")
    assert restore(tiny_study, folder, [run]) == [run]
    assert tiny_study.run_files(run).path("history").read_bytes() == old
    assert new.read_text() == "a new one"
    assert results.failure_of(tiny_study.run_files(run)) == "a new reason"
    assert {name.partition("/")[0] for name in contents(folder)} == {"checkpoints", "failures"}


def test_a_run_that_is_being_trained_is_left_alone(tiny_study: Study, runs: list[Run]) -> None:
    before = contents(tiny_study.folder)
    with (
        sole_writer(tiny_study.run_files(runs[1])),
        pytest.raises(GtaError, match="is being trained now"),
    ):
        retire(tiny_study, runs)
    locks = "locks/"
    assert {k: v for k, v in contents(tiny_study.folder).items() if locks not in k} == before
    folder = retire(tiny_study, runs)
    with sole_writer(tiny_study.run_files(runs[1])):
        assert restore(tiny_study, folder, runs) == [runs[0]]


def test_each_call_has_a_folder_of_its_own(tiny_study: Study, runs: list[Run]) -> None:
    folders = {retire(tiny_study, [run]) for run in runs}
    assert len(folders) == 2
    assert len(list((tiny_study.folder / "retired").iterdir())) == 2


def test_runs_without_results_leave_no_folder(tiny_study: Study) -> None:
    assert not retire(tiny_study, tiny_study.runs[:1]).exists()


def test_a_move_that_fails_leaves_all_in_place(
    tiny_study: Study, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(tiny_study.folder)
    moved: list[Path] = []

    def move(source: Path, target: Path) -> Any:
        if len(moved) == 4:
            moved.append(source)
            raise PermissionError(13, "Permission denied", str(source))
        moved.append(source)
        return source.rename(target)

    monkeypatch.setattr(shutil, "move", move)
    with pytest.raises(GtaError, match=r"cannot be moved to .*: Permission denied; nothing was"):
        retire(tiny_study, runs)
    assert contents(tiny_study.folder) == before
