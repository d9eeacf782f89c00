"""Files of the archive folder: found under any of their names, and checked.

Digests are kept in a folder of records, so that a large file is read once and not at each start.
Where no whole digest is published, the record of the first use is what later uses are held to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from gta.catalog import Archive
from gta.errors import GtaError
from gta.files import write_text

Verified = Literal["sha256", "md5", "sha256 prefix", "size", "unverified"]
Progress = Callable[[int, int | None], None]  # bytes done, bytes in all (None: not known)


@dataclass(frozen=True)
class Checked:
    """A file that is what the catalog says.

    Attributes:
        path: where it lies.
        size: in bytes.
        md5: hexadecimal.
        sha256: hexadecimal.
        verified: the strongest published fact that it was compared with.
    """

    path: Path
    size: int
    md5: str
    sha256: str
    verified: Verified


class WrongFileError(Exception):
    """A file is not the one published; the text says why, and leaves the name to the caller."""


@dataclass(frozen=True)
class _Record:
    """A file as it was when it was last read."""

    path: str
    size: int
    mtime_ns: int
    md5: str
    sha256: str


def find(archive: Archive, folder: Path) -> Path | None:
    """Where an archive lies in a folder, under any name of it; None where it does not.

    Raises:
        GtaError: if the folder cannot be read.
    """
    for name in (archive.file, *archive.other_names):
        path = folder / name
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise GtaError(f"{path}: cannot be read: {error.strerror}") from None
    return None


def by_hand(archive: Archive, folder: Path) -> str:
    """Say where to place an archive."""
    names = " or ".join((archive.file, *archive.other_names))
    return f"place it by hand in {folder} as {names}"


def check(archive: Archive, path: Path, records: Path, *, afresh: bool = False) -> Checked:
    """Compare a file with what is published of it.

    Args:
        archive: what it should be.
        path: where it lies.
        records: folder of the digests that were computed before; made where missing.
        afresh: read the file even if, by size and time, it is as it was when last read.

    Raises:
        GtaError: if it is not the file published or, where no whole digest is published, not the
            one first used; or if it cannot be read.
    """
    try:
        return compare(archive, path, path, records, afresh=afresh)
    except WrongFileError as error:
        raise GtaError(f"{path}: {error}; delete it, then fetch or place it again") from None
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror}") from None


def compare(
    archive: Archive, file: Path, path: Path, records: Path, *, afresh: bool = False
) -> Checked:
    """``check`` for a file that is, or is about to be, named ``path``.

    Raises:
        WrongFileError: if it is not the file published or first used.
        OSError: if it cannot be read.
        GtaError: if its record cannot be written.
    """
    status = file.stat()
    if archive.size is not None and status.st_size != archive.size:
        raise WrongFileError(f"has {status.st_size} bytes in place of {archive.size}")
    if not status.st_size:
        raise WrongFileError("is empty")
    place = _record_path(path, records)
    before = _read_record(place)
    if before and (before.size, before.mtime_ns) == (status.st_size, status.st_mtime_ns):
        record = _record(file, path, status) if afresh else before
    else:
        record = _record(file, path, status)
    verified = _verify(archive, record)
    if before and before.sha256 != record.sha256 and verified not in ("md5", "sha256"):
        raise WrongFileError(
            f"has sha256 {record.sha256}, but the file first used under this name had "
            f"{before.sha256} (if the new one is meant, delete {place})"
        )
    if record != before:
        write_text(place, json.dumps(asdict(record), indent=1) + "\n")
    return Checked(path, record.size, record.md5, record.sha256, verified)


def _record_path(path: Path, records: Path) -> Path:
    # A small file each: processes side by side need no lock, and one can be deleted.
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return records / f"{path.name}-{place[:8]}.json"


def _read_record(place: Path) -> _Record | None:
    try:
        return _Record(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # none yet, or damaged: the archive is read again


def _record(file: Path, path: Path, status: os.stat_result) -> _Record:
    """Read a file; both digests at once, since reading takes longest."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
    # The status is from before: a file that is still being written will be read again.
    return _Record(
        path=str(path.resolve()),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        md5=md5.hexdigest(),
        sha256=sha256.hexdigest(),
    )


def _verify(archive: Archive, record: _Record) -> Verified:
    """Compare digests; name the strongest fact that was there to compare."""
    verified: Verified = "unverified" if archive.size is None else "size"
    if archive.sha256 is not None:
        if not record.sha256.startswith(archive.sha256.lower()):
            raise WrongFileError(f"has sha256 {record.sha256} in place of {archive.sha256}")
        whole = len(archive.sha256) == len(record.sha256)
        verified = "sha256" if whole else "sha256 prefix"
    if archive.md5 is not None:
        if record.md5 != archive.md5.lower():
            raise WrongFileError(f"has md5 {record.md5} in place of {archive.md5}")
        verified = verified if verified == "sha256" else "md5"
    return verified
