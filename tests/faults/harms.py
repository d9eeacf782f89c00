"""What may befall files: damage, a full disk, missing permission."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gta.study import Study
from tests.support.left import finish

ORDINARY = 65534  # the user that owns nothing

Harm = Callable[[Study, Path], None]


def truncated(_: Study, path: Path) -> None:
    """Half of the file is gone."""
    os.truncate(path, path.stat().st_size // 2)


def zeroed(_: Study, path: Path) -> None:
    """As long as before, all zeros."""
    path.write_bytes(bytes(path.stat().st_size))


def a_bit_flipped(_: Study, path: Path) -> None:
    """A number in a Parquet file is another: 50.0, or where there is none, a byte in the middle."""
    content = bytearray(path.read_bytes())
    place = content.find(struct.pack("<d", 50.0))
    content[place + 5 if place > 0 else len(content) // 3] ^= 1
    path.write_bytes(content)


def of_another_run(study: Study, path: Path) -> None:
    """The file of another run, copied to this one's place."""
    other = str(path).replace("seed=0", "seed=1")
    path.write_bytes(Path(other).read_bytes())


def of_an_older_version(_: Study, path: Path) -> None:
    """Other columns than this version's."""
    pq.write_table(pa.table({"accuracy": [50.0]}), path)


def relabelled(_: Study, path: Path) -> None:
    """The labels of a dataset are others."""
    table = pq.ParquetFile(path).read()
    place = table.schema.get_field_index("label")
    others = pa.array([0] * table.num_rows, pa.int32())
    pq.write_table(table.set_column(place, table.schema.field(place), others), path)


def unreadable(_: Study, path: Path) -> None:
    """Nobody but root may read it."""
    path.chmod(0)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be one for a while: permissions do not bind root."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(ORDINARY)
    os.seteuid(ORDINARY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def no_file_larger(size: int) -> Iterator[None]:
    """Writing beyond so many bytes fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def small_disk(study: Study, *, full: bool = False, read_only: bool = False) -> Iterator[None]:
    """The results lie on a file system of one megabyte of their own."""
    folder = study.folder.resolve()
    _mount("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    try:
        for run in study.runs:
            finish(study, run)
        if full:
            _fill(folder / "filler")
        if read_only:
            _mount("mount", "-o", "remount,ro", str(folder))
        yield
    finally:
        _mount("umount", "--lazy", str(folder))


def _fill(path: Path) -> None:
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return


def _mount(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
