"""A pipe in the place of a file is named; nothing waits for somebody to write into it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gta import files, results
from gta.data.images import decode
from gta.data.readers.table import read as read_table
from gta.data.store import Store
from gta.errors import GtaError
from gta.models.prepared import read_header
from gta.study import Study
from gta.train import checkpoint
from tests.support.left import finish, keep_weights
from tests.support.samples import random_store


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("it waits for the pipe")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("read", [decode, read_table, read_header, files.file_digest])
def test_a_file_of_the_user(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(GtaError, match=r"pipe: .*(device or pipe|regular file)"):
        read(pipe(tmp_path / "pipe"))


@pytest.mark.parametrize("name", ["store.json", "index.parquet", "pixels.bin"])
def test_a_file_of_a_store(tmp_path: Path, name: str) -> None:
    random_store(tmp_path / "store")
    pipe(tmp_path / "store" / name)
    with pytest.raises(GtaError, match=rf"damaged store \({name} is not a regular file"):
        Store(tmp_path / "store")


@pytest.mark.parametrize("kind", ["metrics", "history", "models"])
def test_a_file_of_a_run(tiny_study: Study, kind: str) -> None:
    study, run = Study({**tiny_study.content, "keep_weights": "all"}), tiny_study.runs[0]
    finish(study, run)
    keep_weights(study, run)
    pipe(study.run_files(run).path(kind))
    found = results.result_of(study.run_files(run), thorough=True).state
    assert (found.state, "not a regular file" in found.reason) == ("damaged", True)


def test_a_checkpoint_and_a_failure(tiny_study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    run_files = tiny_study.run_files(tiny_study.runs[0])
    path = pipe(run_files.checkpoint)
    identity = checkpoint.Identity.of(run_files, results.Origin("data", "source"))
    assert checkpoint.load(path, identity) is None
    assert "damaged (is not a regular file)" in capsys.readouterr().err
    pipe(run_files.failure)
    assert results.state_of(run_files).state == "missing"
