"""Locks: one holder at a time, and none after its process is gone, however it went."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gta.errors import GtaError
from gta.files import hold_one, holder_of
from gta.results.writers import sole_writer
from gta.study import Study

HOLDER = """
import sys
from pathlib import Path
from gta.files import hold_one
with hold_one([Path(name) for name in sys.argv[1:]]) as position:
    print(position, flush=True)
    sys.stdin.read()
"""


class Holders:
    """Processes that hold one of some locks until they are ended or killed."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(self, *paths: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, *map(str, paths)]
        self.all.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return self.all[-1]


@pytest.fixture
def holders() -> Iterator[Holders]:
    holders = Holders()
    yield holders
    for process in holders.all:
        process.kill()
        process.communicate()


def position_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_the_first_free_lock_is_held(tmp_path: Path) -> None:
    paths = [tmp_path / "folder" / name for name in ("a", "b", "c")]
    with hold_one(paths) as first, hold_one(paths) as second:
        assert (first, second) == (0, 1)
    with hold_one(paths) as again:
        assert again == 0


def test_a_process_waits_and_says_so_once(tmp_path: Path) -> None:
    said: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def wait() -> None:
        def say() -> None:
            said.append("waits")
            waiting.set()

        with hold_one([tmp_path / "lock"], say):
            entered.set()

    thread = threading.Thread(target=wait)
    with hold_one([tmp_path / "lock"]):
        thread.start()
        assert waiting.wait(30)
        assert not entered.is_set()
    assert entered.wait(30)
    thread.join()
    assert said == ["waits"]


def test_a_killed_process_frees_its_lock(tmp_path: Path, holders: Holders) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    first = holders.start(*paths)
    assert position_of(first) == 0
    second = holders.start(*paths)
    assert position_of(second) == 1
    waiting = holders.start(*paths)
    first.kill()
    assert position_of(waiting) == 0
    assert second.poll() is None


def test_a_block_that_fails_frees_its_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold_one([tmp_path / "lock"]):
        raise KeyError
    with hold_one([tmp_path / "lock"]) as position:
        assert position == 0


def test_a_wait_has_a_limit_and_names_the_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, who = tmp_path / "lock", f"process {os.getpid()} on {platform.node()} since "
    monkeypatch.setenv("GTA_WAIT_HOURS", "0")
    with hold_one([lock]):
        assert holder_of(lock).startswith(who)
        with pytest.raises(GtaError, match=rf"lock: held by {who}.* hours; .*GTA_WAIT_HOURS"):
            hold_one([lock]).__enter__()
    monkeypatch.setenv("GTA_WAIT_HOURS", "soon")
    with pytest.raises(GtaError, match="GTA_WAIT_HOURS: 'soon' is not"):
        hold_one([lock]).__enter__()


def test_a_lock_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(GtaError, match=r"file/lock: cannot be locked: .*flock"),
        hold_one([tmp_path / "file" / "lock"]),
    ):
        pass


def test_a_run_has_one_writer_and_others_are_free(tiny_study: Study) -> None:
    run, other = tiny_study.runs[:2]
    waits: list[bool] = []

    def give_up() -> None:
        waits.append(True)
        raise TimeoutError

    with sole_writer(tiny_study.run_files(run)):
        with sole_writer(tiny_study.run_files(other), give_up):
            pass
        with pytest.raises(TimeoutError), sole_writer(tiny_study.run_files(run), give_up):
            pass
    assert waits == [True]
