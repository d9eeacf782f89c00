"""Unpacking of archives into a folder: whole or not at all, and nothing outside it.

Of a member only its name and its bytes are taken: no owner, mode, time or link. The filters of
``tarfile`` are not enough here: they admit links and sparse files, know nothing of zip files
(whose ``extract`` renames members that would lie outside), and do not look at the disk.
"""

from __future__ import annotations

import json
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from gta.data.fetch.archives import Progress
from gta.errors import GtaError
from gta.files import path_lock, write_text

# A file that ends so and is neither tar nor zip is damaged; any other is not an archive.
ENDINGS = (".tar", ".tgz", ".gz", ".tbz", ".tbz2", ".bz2", ".txz", ".xz", ".zip")
COPY = 1 << 20  # bytes at a time
# Images hardly shrink: an archive that claims to hold more than this is none of images.
MOST_EXPANSION = 200  # bytes for each byte of the archive
MOST_SMALL = 1 << 26  # bytes that any archive may hold


def unpack(
    paths: Sequence[Path],
    target: Path,
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Path:
    """Unpack archives one after another into one new folder; one that is there is left as it is.

    Tar (plain, gzip, bzip2, xz) and zip are recognised by content. A file that is not an archive,
    such as a ``.mat`` beside the images, is copied.

    Args:
        paths: the archives, checked.
        target: the folder; it appears when it is complete. Remains of a killed process are removed.
        progress: called with the bytes read and the bytes of all archives.
        names: names for the copies, one for each of ``paths``; default as the files are called.

    Returns:
        ``target``.

    Raises:
        GtaError: if an archive is damaged, claims to hold more than fits on the disk or than
            images can shrink, or holds a member that is a link, a device or a sparse file or that
            would lie outside the folder; or if the disk is full.
    """
    if target.is_dir():
        return target
    with path_lock(target):
        if target.is_dir():
            return target
        hidden = target.with_name(f".{target.name}.unpacking")
        try:
            total, done = sum(path.stat().st_size for path in paths), 0
            shutil.rmtree(hidden, ignore_errors=True)
            hidden.mkdir()
            write_record(target, [path.name for path in paths])
            for path, name in zip(paths, names or [path.name for path in paths], strict=True):
                with path.open("rb") as file:
                    for _ in _unpack_one(path, name, file, hidden):
                        if progress:
                            progress(done + file.tell(), total)
                done += path.stat().st_size
                if progress:
                    progress(done, total)
            hidden.rename(target)
        except OSError as error:
            raise GtaError(
                f"{error.filename or target}: {error.strerror or error}; nothing was unpacked"
            ) from None
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            if not target.is_dir():
                record_of(target).unlink(missing_ok=True)
    return target


def record_of(target: Path) -> Path:
    """Path of the record beside an unpacked folder."""
    return target.with_name(f"{target.name}.json")


def write_record(target: Path, archives: Sequence[str]) -> None:
    """Write beside a folder that gta unpacked it, so that `gta clean` may remove it."""
    record = {"unpacked": target.name, "archives": list(archives)}
    write_text(record_of(target), json.dumps(record) + "\n")


def remove_unpacked(target: Path) -> None:
    """Remove an unpacked folder and its record."""
    with path_lock(target):
        shutil.rmtree(target, ignore_errors=True)
        record_of(target).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Member:
    """A file or a folder in an archive.

    Attributes:
        name: path in the archive.
        kind: ``file``, ``folder``, or what it is that is refused.
        size: declared bytes.
        open: opens its bytes.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | None]


class _DamagedError(Exception):
    """The archive is damaged."""


def _unpack_one(path: Path, name: str, file: IO[bytes], folder: Path) -> Iterator[None]:
    """Unpack an archive, a member a step."""
    try:
        empty, held, size = True, 0, path.stat().st_size
        for member in _members(path, name, file):
            held += member.size
            if member.kind == "file":
                _check_room(path, held, size, member, folder)
            _write(path, member, folder)
            empty = False
            yield
        if empty:  # a file of zeros is an empty tar
            raise _DamagedError("it holds nothing")
    except OSError as error:
        if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
            raise _damaged(path, _DamagedError("a file and a folder share a name")) from None
        if error.errno is None:  # gzip's and bz2's own
            raise _damaged(path, error) from None
        raise GtaError(
            f"{path}: cannot be unpacked to {folder.parent}: {error.strerror or error}"
        ) from None
    except GtaError:
        raise
    except Exception as error:  # the libraries' errors for damaged bytes have no common class
        raise _damaged(path, error) from None


def _check_room(path: Path, held: int, size: int, member: _Member, folder: Path) -> None:
    """Check the declared bytes of an archive's members before they are written.

    Args:
        path: of the archive.
        held: declared bytes up to this member.
        size: of the archive.
        member: to be written next.
        folder: to be written to.

    Raises:
        GtaError: if they do not fit, or are more than an archive of images can hold.
    """
    if member.size < 0:
        raise _DamagedError(f"member {member.name!r} has a negative size")
    if held > MOST_EXPANSION * size + MOST_SMALL:
        raise GtaError(
            f"{path}: claims to hold more than {held:,} bytes, the archive has {size:,}; refused"
        )
    free = shutil.disk_usage(folder).free
    if member.size > free:
        raise GtaError(
            f"{path}: member {member.name!r} needs {member.size:,} bytes and {free:,} are free "
            f"in {folder.parent}; make room there"
        )


def _members(path: Path, name: str, file: IO[bytes]) -> Iterator[_Member]:
    # Tar first: one that ends with a zip file looks like a zip too.
    if tarfile.is_tarfile(file):
        file.seek(0)
        yield from _tar_members(file)
    elif zipfile.is_zipfile(file):
        yield from _zip_members(file)
    elif path.suffix.lower() in ENDINGS:
        raise _DamagedError("it is neither tar nor zip")
    else:
        yield _Member(name, "file", path.stat().st_size, lambda: path.open("rb"))


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:*") as tar:
        for info in tar:
            if info.issparse():
                kind = "a sparse file"
            elif info.isreg():
                kind = "file"
            elif info.isdir():
                kind = "folder"
            else:
                kind = "a link" if info.issym() or info.islnk() else "a device or a pipe"
            yield _Member(info.name, kind, info.size, partial(tar.extractfile, info))
        # tarfile takes a damaged header for the end of the archive, and a missing end for one.
        stream = tar.fileobj
        assert stream is not None
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise _DamagedError("it ends without an end mark")
        while stream.read(COPY):  # to the checksum of the compressed ones
            pass


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as zipped:
        for info in zipped.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where not made on Unix
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link" if mode == stat.S_IFLNK else "a device or a pipe"
            elif info.flag_bits & 1:
                kind = "an encrypted file"
            else:
                kind = "folder" if info.is_dir() else "file"
            yield _Member(info.filename, kind, info.file_size, partial(zipped.open, info))


def _write(path: Path, member: _Member, folder: Path) -> None:
    parsed = (PurePosixPath(member.name), PureWindowsPath(member.name))
    if any(name.anchor or ".." in name.parts for name in parsed):
        raise GtaError(f"{path}: member {member.name!r} would lie outside the folder; refused")
    if member.kind not in ("file", "folder"):
        raise GtaError(f"{path}: member {member.name!r} is {member.kind}; refused")
    place = folder / member.name
    if member.kind == "folder":
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    assert source is not None
    with source, place.open("wb") as written:
        shutil.copyfileobj(source, written, COPY)


def _damaged(path: Path, error: Exception) -> GtaError:
    said = " ".join(str(error).split()) or type(error).__name__
    return GtaError(f"{path}: damaged archive ({said}); delete it, then fetch or place it again")
