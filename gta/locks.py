"""Locks that a dead process frees: one process at a time trains a run or uses a device.

The kernel drops a process's locks when it ends, whatever ended it; nothing has to be cleaned up
after a kill, and a lock file that lies there means nothing by itself.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gta.errors import GtaError
from gta.study import Run, Study

POLL_SECONDS = 0.5


@contextmanager
def hold_one(paths: Sequence[Path], on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the first of some locks that is free; wait where none is.

    Args:
        paths: the lock files, the preferred first.
        on_wait: called once, if all are held by others.

    Yields:
        The position of the lock that is held.

    Raises:
        GtaError: if a lock file cannot be written, or the file system has no locks.
    """
    locks = [FileLock(path, fallback_to_soft=False) for path in paths]
    while True:
        for position, lock in enumerate(locks):
            if not _taken(lock):
                continue
            try:
                yield position
            finally:
                lock.release()
            return
        if on_wait is not None:
            on_wait()
            on_wait = None
        time.sleep(POLL_SECONDS)


def _taken(lock: FileLock) -> bool:
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        reason = error.strerror or error
        raise GtaError(f"{path}: cannot be locked: {reason}; locks need flock there") from None
    return True


@contextmanager
def sole_writer(
    study: Study, run: Run, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Be the only process, on whatever node, that writes a run's results.

    A job whose head process died may live on while another is started for the same run: the
    second waits here and then finds the run done.

    Raises:
        GtaError: if the results folder's file system has no locks.
    """
    with hold_one([lock_of(study, run)], on_wait):
        yield


def lock_of(study: Study, run: Run) -> Path:
    """The lock file that a run's writer holds."""
    return study.folder / "locks" / f"{run.name}.lock"


def is_held(path: Path) -> bool:
    """Whether a process, on whatever node, holds a lock; nothing is written and nothing kept.

    False too where that cannot be told: no file, no permission, a file system without locks.
    """
    try:
        with path.open("rb") as file:
            # Shared, so that several may look; a writer that is refused meanwhile tries again.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
