"""Files of the archive folder: found under any of their names, and checked.

Digests are cached in a folder of records, so that a large file is read once and not at each start.
Where no whole digest is published, the record of a file that was of use (``mark_used``) is what
later files of its name must match.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from gta.catalog import Archive
from gta.errors import GtaError
from gta.files import write_text

Verified = Literal["sha256", "md5", "sha256 prefix", "size", "unverified"]
Progress = Callable[[int, int | None], None]  # bytes done, bytes in all (None: not known)


@dataclass(frozen=True)
class Checked:
    """A file that matches what is published of it.

    Attributes:
        path: where it lies.
        size: in bytes.
        md5: hexadecimal.
        sha256: hexadecimal.
        verified: the strongest published fact that it was compared with.
        record: file of its digests.
    """

    path: Path
    size: int
    md5: str
    sha256: str
    verified: Verified
    record: Path | None = field(default=None, compare=False)


class WrongFileError(Exception):
    """A file is not the one published; the text says why, the caller adds the name."""


@dataclass(frozen=True)
class _Record:
    """A file as it was when it was last read.

    Attributes:
        path: of the file.
        size: in bytes.
        mtime_ns: time of its last change.
        ctime_ns: the same, of its status too; no program can set it back.
        md5: hexadecimal.
        sha256: hexadecimal.
        used: whether data or weights were made from it.
    """

    path: str
    size: int
    mtime_ns: int
    md5: str
    sha256: str
    ctime_ns: int = 0
    used: bool = False

    def is_of(self, status: os.stat_result) -> bool:
        """Whether the file has not changed since."""
        recorded = (self.size, self.mtime_ns, self.ctime_ns)
        return recorded == (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def find(archive: Archive, folder: Path) -> Path | None:
    """Path of an archive in a folder, under any of its names; None if it is not there.

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
    """Instructions for placing an archive by hand."""
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
            one used before (unless it is the user's own); if it is a web page or a git-lfs
            pointer; or if it cannot be read.
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
    if (impostor := what_instead(file)) is not None:
        raise WrongFileError(f"is {impostor}")
    if archive.size is not None and status.st_size != archive.size:
        raise WrongFileError(f"has {status.st_size} bytes in place of {archive.size}")
    place = _record_path(path, records)
    before = _read_record(place)
    if before is not None and before.is_of(status) and not afresh:
        record = before
    else:
        record = _record(file, path, status)
        record = replace(record, used=before is not None and before.used)
    verified = _verify(archive, record)
    if before and before.sha256 != record.sha256:
        if before.used and not archive.own and verified not in ("md5", "sha256"):
            raise WrongFileError(
                f"has sha256 {record.sha256}, but the file used before under this name had "
                f"{before.sha256} (if the new one is meant, delete {place})"
            )
        record = replace(record, used=False)
    if record != before:
        _write_record(place, record)
    return Checked(path, record.size, record.md5, record.sha256, verified, place)


def mark_used(checked: Iterable[Checked]) -> None:
    """Record that data or weights were made from files: later files must be the same."""
    for one in checked:
        record = None if one.record is None else _read_record(one.record)
        if record is not None and one.record is not None and record.sha256 == one.sha256:
            _write_record(one.record, replace(record, used=True))


def sha256_of(path: Path, records: Path) -> str:
    """SHA-256 of a file, from its record if it has not changed since.

    Raises:
        OSError: if it cannot be read.
    """
    record = _read_record(_record_path(path, records))
    if record is not None and record.is_of(path.stat()):
        return record.sha256
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def what_instead(path: Path) -> str | None:
    """Name what a file holds in place of data: nothing, a web page, a git-lfs pointer; or None.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself; `git lfs pull` in its repository gets it"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page, as servers send for a login or an error, not the file itself"
    return None


def _write_record(place: Path, record: _Record) -> None:
    write_text(place, json.dumps(asdict(record), indent=1) + "\n")


def _record_path(path: Path, records: Path) -> Path:
    # A small file each: processes side by side need no lock, and one can be deleted.
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return records / f"{path.name}-{place[:8]}.json"


def _read_record(place: Path) -> _Record | None:
    try:
        return _Record(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # none yet, or damaged: the file is read again


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
        ctime_ns=status.st_ctime_ns,
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
