"""Where a project and its results lie, who else works on them, and what the clocks say.

Snakemake is the real one, the training is staged.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.staged import StagedStudy

KEY = "gta-1"
DAY = 24 * 3600
LONG_AGO = 5e8
ODD = Path("Übungen 実験", "it's 100 $HOME & more", *["long" * 50] * 5)

Make = Callable[[Path], StagedStudy]


@pytest.fixture
def make() -> Iterator[Make]:
    """Lays out a staged study in a folder, its dataset and source prepared."""
    made: list[StagedStudy] = []

    def make(folder: Path) -> StagedStudy:
        folder.mkdir(parents=True)
        made.append(StagedStudy(folder, {}))
        made[-1].ready()
        return made[-1]

    yield make
    for study in made:
        study.end()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own that can be written to")
    folder = Path(tempfile.mkdtemp(prefix="gta-tests-", dir=memory))
    yield folder
    shutil.rmtree(folder)


def arguments(study: StagedStudy) -> list[str]:
    return ["--cores", "1", "--", str(study.part(KEY))]


def call(study: StagedStudy) -> str:
    """Let Snakemake make the run; all that it has said so far."""
    return study.finish(study.start(*arguments(study)))


def test_a_long_path_of_odd_letters(make: Make, tmp_path: Path) -> None:
    study = make(tmp_path / ODD)
    assert len(str(study.folder / study.part(KEY))) > 1000
    call(study)
    assert len(study.events("trained")) == 1
    assert "Nothing to be done" in call(study)


def test_results_that_cannot_be_written_are_one_line_and_leave_no_lock(
    make: Make, tmp_path: Path
) -> None:
    study = make(tmp_path / "project")
    record = study.folder / "results" / "staged" / "config.yaml"
    record.mkdir(parents=True)  # which stops root too
    assert study.start(*arguments(study)).wait(300) == 1
    last = study.said.splitlines()[-1]
    fault = "results/staged/config.yaml: cannot be written: is a folder, not a regular file"
    assert last == f"error: {fault}"
    assert not study.events("started")
    record.rmdir()
    call(study)


def test_two_snakemakes_share_results_on_another_file_system(
    make: Make, tmp_path: Path, elsewhere: Path
) -> None:
    one, two = (make(tmp_path / name) for name in ("one", "two"))
    for study in (one, two):
        (study.folder / "results").symlink_to(elsewhere)
    one.order(KEY, "wait go")
    head = one.start(*arguments(one))
    one.wait_for("started", KEY)
    refused = subprocess.run(
        [*one.snakemake, "--configfile", "study.yaml", *arguments(one)],
        cwd=one.folder,
        env=one.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "cannot be locked" in refused.stderr

    other = two.start(*arguments(two))  # which the lock of the other folder does not stop
    two.wait_for("waits", KEY)
    (one.folder / "go").touch()
    one.finish(head)
    two.finish(other)
    assert len(one.events("trained")) == 1
    assert not two.events("trained")
    assert len(two.events("kept")) == 1
    assert not one.half_written()


def test_clocks_that_jump_train_nothing_again(make: Make, tmp_path: Path) -> None:
    study = make(tmp_path / "study")
    call(study)
    part = study.folder / study.part(KEY)
    (store,) = (study.folder / "data/store").glob("*/store.json")
    (lock,) = (study.folder / "results/staged/locks").rglob("*.lock")
    now = time.time()

    for time_of_store, time_of_part, time_of_lock in (
        (now + DAY, now, LONG_AGO),  # the dataset was prepared by a clock that was ahead
        (1e9, LONG_AGO, now + DAY),  # the run was trained by one that was behind
        (1e9, now + DAY, now),  # by one that was ahead
    ):
        for path, at in ((store, time_of_store), (part, time_of_part), (lock, time_of_lock)):
            os.utime(path, (at, at))
        call(study)
    assert study.said.count("Nothing to be done") == 3  # files are as they were, says Snakemake
    assert len(study.events("trained")) == 1
