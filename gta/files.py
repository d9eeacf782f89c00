"""Files: atomic writing, digests and path locks."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import platform
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EACCES, ENOSPC, EROFS
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gta.errors import GtaError


@contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` to write to; rename it when the block succeeds.

    A block that fails or a process that dies leaves ``path`` as it was. Hidden files that killed
    processes have left for this path are removed first.

    Args:
        path: of the file.
        mode: its permissions, less those that the process's umask takes.

    Raises:
        GtaError: if the folder cannot be written to, the disk is full, or ``path`` is something
            else than a regular file, which the renaming would replace.
    """
    require_regular(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        handle, hidden = _hidden_file(path, mode)
    except OSError as error:
        raise GtaError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        given = os.fstat(handle).st_mode & 0o777
        yield hidden
        hidden.chmod(given)  # some libraries write another file and rename it
        with hidden.open("rb") as file:
            os.fsync(file.fileno())
        hidden.replace(path)
    except OSError as error:
        raise GtaError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        hidden.unlink(missing_ok=True)
        os.close(handle)


def require_regular(path: Path) -> None:
    """Check that a file can be put at ``path``: nothing is there, or a regular file.

    Raises:
        GtaError: a device, a pipe or a folder is there.
    """
    place = path.absolute()
    try:
        mode = path.stat().st_mode
    except OSError:  # not there, or told by what follows
        return
    # /dev/stdout may stand for a regular file, but is a link that renaming would replace.
    if place.parent in (Path("/dev"), Path("/dev/fd")) or place.is_relative_to("/proc"):
        raise GtaError("cannot be written: is a device or pipe, not a regular file", where=path)
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise GtaError(f"cannot be written: is {what}, not a regular file", where=path)


def _hidden_file(path: Path, mode: int) -> tuple[int, Path]:
    """Create a hidden file beside ``path``, locked as long as its writer lives."""
    while True:
        name = f".{path.stem[:40]}.{secrets.token_hex(4)}{path.suffix}"
        hidden = path.with_name(name)
        try:
            # With the mode that the process's umask leaves, which a temporary file has not.
            handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            continue
        if not _lock(handle):
            return handle, hidden  # no locks on this file system: sweep removes nothing there
        if os.fstat(handle).st_nlink:
            return handle, hidden
        os.close(handle)  # swept between its creation and its lock


def sweep(path: Path) -> None:
    """Remove hidden files of ``atomic_write(path)`` whose writers have died."""
    pattern = f".{glob.escape(path.stem[:40])}.????????{glob.escape(path.suffix)}"
    for left in path.parent.glob(pattern):
        if is_abandoned(left):
            left.unlink(missing_ok=True)


def is_abandoned(hidden: Path) -> bool:
    """Whether the writer of a hidden file has died; False where that cannot be told."""
    try:
        handle = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process holds it or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_there(path: Path) -> bool:
    """Whether a file or folder is there; False too where this user may not look."""
    return os.access(path, os.F_OK, effective_ids=True)


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or it can be made itself."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.access(there, os.W_OK)


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a text file, whole or not at all; ``mode`` as for ``atomic_write``."""
    with atomic_write(path, mode) as hidden:
        hidden.write_text(text, encoding="utf-8")


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        GtaError: if it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe blocks its reader
            raise GtaError(f"{path}: cannot be read: is not a regular file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror}") from None


def json_digest(content: Any) -> str:
    """SHA-256 of a JSON value, its keys sorted."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def put_away(path: Path) -> Path:
    """Rename a damaged file ``*.damaged.*``, beside where it was, and tell where it is now.

    Raises:
        GtaError: if it cannot be renamed.
    """
    try:
        return path.replace(path.with_name(f"{path.stem}.damaged{path.suffix}"))
    except OSError as error:
        raise GtaError(f"{path}: is damaged and cannot be renamed: {error.strerror}") from None


POLL_SECONDS = 0.5
WAIT_HOURS = 4.0  # for a lock, unless GTA_WAIT_HOURS says otherwise


@contextmanager
def hold_one(paths: Sequence[Path], on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Acquire the first free lock of several; wait if none is free.

    Args:
        paths: the lock files, the preferred first.
        on_wait: called once, if all are held by others.

    Yields:
        The position of the lock that is held.

    Raises:
        GtaError: if a lock file cannot be written, the file system has no locks, or none is free
            after the hours that GTA_WAIT_HOURS gives (4 by default).
    """
    locks = [FileLock(path, fallback_to_soft=False) for path in paths]
    limit, begin = _wait_hours(), time.monotonic()
    while True:
        for position, lock in enumerate(locks):
            if not _taken(lock):
                continue
            try:
                _sign(paths[position])
                yield position
            finally:
                lock.release()
            return
        if on_wait is not None:
            on_wait()
            on_wait = None
        if time.monotonic() - begin > 3600 * limit:
            raise GtaError(
                f"held by {holder_of(paths[0])} for more than {limit:g} hours",
                where=paths[0],
                remedy="if that process is dead (NFS 3 keeps the locks of a dead node), delete "
                "the file; else wait, or set GTA_WAIT_HOURS",
            )
        time.sleep(POLL_SECONDS)


def _wait_hours() -> float:
    given = os.environ.get("GTA_WAIT_HOURS", "").strip()
    try:
        hours = float(given) if given else WAIT_HOURS
    except ValueError:
        hours = -1.0
    if not hours >= 0:
        raise GtaError(f"GTA_WAIT_HOURS: {given!r} is not a number of hours")
    return hours


def _sign(path: Path) -> None:
    """Write into a lock file that is held who holds it."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with suppress(OSError):  # a full disk must not keep a job from its lock
        path.write_text(f"process {os.getpid()} on {platform.node()} since {now}\n", "utf-8")


def holder_of(path: Path) -> str:
    """Holder of a lock, as written into it: process, machine and time."""
    try:
        return path.read_text("utf-8", errors="replace").strip()[:200] or "an unnamed process"
    except OSError:
        return "an unnamed process"


def _taken(lock: FileLock) -> bool:
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        reason = error.strerror or error
        hint = "" if error.errno in (EACCES, EROFS, ENOSPC) else "; locks need flock there"
        raise GtaError(f"{path}: cannot be locked: {reason}{hint}") from None
    return True


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


@contextmanager
def path_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Acquire the lock of a path, a hidden file beside it; other processes wait.

    Args:
        path: what only one process may write.
        on_wait: called once, if another process holds the lock.

    Raises:
        GtaError: if the folder cannot be written to, or the file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GtaError(f"{path}: cannot be written: {error.strerror}") from None
    with hold_one([path.with_name(f".{path.name}.lock")], on_wait):
        yield
