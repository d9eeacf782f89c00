"""Unpacking of archives into a folder: whole or not at all, and nothing outside it.

Of a member only its name and its bytes are taken: no owner, mode, time or link.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from gta.data.fetch.archives import Progress
from gta.errors import GtaError
from gta.files import path_lock

# A file that ends so and is neither tar nor zip is damaged; any other is no archive.
ENDINGS = (".tar", ".tgz", ".gz", ".tbz", ".tbz2", ".bz2", ".txz", ".xz", ".zip")
COPY = 1 << 20  # bytes at a time


def unpack(
    paths: Sequence[Path],
    target: Path,
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Path:
    """Unpack archives one after another into one new folder; one that is there is left as it is.

    Tar (plain, gzip, bzip2, xz) and zip are told by content. A file that is no archive, such as a
    ``.mat`` beside the images, is copied.

    Args:
        paths: the archives, checked.
        target: the folder; it appears when all is in it. What a killed process left is removed.
        progress: called with the bytes read and the bytes of all archives.
        names: what the copies are called, for each of ``paths``; default as the files are.

    Returns:
        ``target``.

    Raises:
        GtaError: if an archive is damaged, or holds a member that is a link or a device or that
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
    return target


@dataclass(frozen=True)
class _Member:
    """A file or a folder in an archive.

    Attributes:
        name: path in the archive.
        kind: ``file``, ``folder``, or what it is that is refused.
        open: opens its bytes.
    """

    name: str
    kind: str
    open: Callable[[], IO[bytes] | None]


class _DamagedError(Exception):
    """The archive is not whole."""


def _unpack_one(path: Path, name: str, file: IO[bytes], folder: Path) -> Iterator[None]:
    """Unpack an archive, a member a step."""
    try:
        empty = True
        for member in _members(path, name, file):
            _write(path, member, folder)
            empty = False
            yield
        if empty:  # a file of zeros is an empty tar
            raise _DamagedError("it holds nothing")
    except (
        _DamagedError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        UnicodeDecodeError,  # zipfile's, for a damaged name
        NotImplementedError,  # zipfile's, for a compression that it does not know
    ) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
            raise _damaged(path, _DamagedError("a file and a folder share a name")) from None
        if error.errno is None:  # gzip's and bz2's own
            raise _damaged(path, error) from None
        raise GtaError(
            f"{path}: cannot be unpacked to {folder.parent}: {error.strerror or error}"
        ) from None


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
        yield _Member(name, "file", lambda: path.open("rb"))


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:*") as tar:
        for info in tar:
            if info.isreg():
                kind = "file"
            elif info.isdir():
                kind = "folder"
            else:
                kind = "a link" if info.issym() or info.islnk() else "a device or a pipe"
            yield _Member(info.name, kind, partial(tar.extractfile, info))
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
            yield _Member(info.filename, kind, partial(zipped.open, info))


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
    said = " ".join(str(error).split())
    return GtaError(f"{path}: damaged archive ({said}); delete it, then fetch or place it again")
