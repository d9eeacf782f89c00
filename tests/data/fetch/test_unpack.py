"""Unpacking: whole or not at all, nothing outside the folder, damage named."""

from __future__ import annotations

import gzip
import io
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gta.data.fetch.unpack import unpack
from gta.errors import GtaError

NOISE = np.random.default_rng(0).bytes(40_000)
FILES = {
    "CUB/images.txt": b"1 a.jpg\n",
    "CUB/images/001.Albatross/a b.jpg": NOISE,
    "CUB/images/empty.jpg": b"",
    "./CUB/été.txt": b"2\n",
}
MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def write_tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    """A tar, compressed as its name says."""
    mode = MODES[path.name.partition(".")[2]]
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(body), 0o6000, 12345
            tar.addfile(info, io.BytesIO(body))
        for info in extra:
            tar.addfile(info)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """A zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in files.items():
            zipped.writestr(name, body)
    return path


def write(path: Path, files: dict[str, bytes] = FILES) -> Path:
    """A tar or a zip."""
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


def below(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


PLAIN = {name.removeprefix("./"): body for name, body in FILES.items()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to unpack; its parent is not there yet."""
    return tmp_path / "store" / "unpacked" / "abc"


def refused(paths: list[Path], target: Path) -> str:
    """The one line with which unpacking is refused; nothing is left."""
    outside = below(target.parent.parent.parent)
    with pytest.raises(GtaError) as caught:
        unpack(paths, target)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    left = below(target.parent.parent.parent).keys() - outside.keys()
    assert left <= {"store/unpacked/.abc.lock"}
    assert not list(target.parent.glob(".abc.unpacking*"))
    return str(caught.value)


@pytest.mark.parametrize("ending", [*MODES, "zip"])
def test_what_was_packed_comes_out(tmp_path, target, ending):
    path = write(tmp_path / f"birds.{ending}")
    told: list[tuple[int, int | None]] = []
    assert unpack([path], target, lambda *step: told.append(step)) == target
    assert below(target) == PLAIN
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert all(0 <= done <= size and total == size for done, total in told)
    image = target / "CUB/images/001.Albatross/a b.jpg"
    assert stat.S_IMODE(image.stat().st_mode) & 0o6111 == 0, "modes are not taken"
    assert image.stat().st_uid == os.getuid()


def test_told_by_content_and_plain_files_copied(tmp_path, target):
    zipped = write(tmp_path / "a.zip").rename(tmp_path / "kaggle.tar")
    tarred = write(tmp_path / "b.tar", {"inner.zip": zipped.read_bytes()})
    labels = tmp_path / "cars_test_annos_withlabels.mat"
    labels.write_bytes(b"MATLAB 5.0 MAT-file")
    unpack([zipped, tarred, labels], target)
    assert below(target) == {
        **PLAIN,
        "inner.zip": zipped.read_bytes(),
        labels.name: b"MATLAB 5.0 MAT-file",
    }


def test_a_copy_may_get_another_name(tmp_path, target):
    """People have it as ``labels (1).mat``; the reader wants ``labels.mat``."""
    labels = tmp_path / "labels (1).mat"
    labels.write_bytes(b"MATLAB 5.0 MAT-file")
    packed = write(tmp_path / "birds (1).tgz")
    unpack([packed, labels], target, names=["birds.tgz", "labels.mat"])
    assert below(target) == {**PLAIN, "labels.mat": b"MATLAB 5.0 MAT-file"}


def test_what_is_unpacked_stays(tmp_path, target):
    path = write(tmp_path / "birds.tgz")
    unpack([path], target)
    path.unlink()
    (target / "CUB/images.txt").write_bytes(b"mine")
    unpack([path], target)
    assert (target / "CUB/images.txt").read_bytes() == b"mine"


POSIX_ESCAPES = ["../evil", "CUB/../../evil", "/evil", "//evil", ".."]
WINDOWS_ESCAPES = ["..\\evil", "C:\\evil", "C:evil", "\\evil"]


@pytest.mark.parametrize("name", POSIX_ESCAPES + WINDOWS_ESCAPES)
@pytest.mark.parametrize("ending", ["tgz", "zip"])
def test_members_that_escape_are_refused(tmp_path, target, ending, name):
    path = write(tmp_path / f"birds.{ending}", {"good": b"", name: b"evil"})
    line = refused([path], target)
    assert line == f"{path}: member {name!r} would lie outside the folder; refused"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device or a pipe"),
        (tarfile.BLKTYPE, "a device or a pipe"),
        (tarfile.FIFOTYPE, "a device or a pipe"),
    ],
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path, target, kind, said):
    info = tarfile.TarInfo("CUB/odd")
    info.type, info.linkname = kind, "images.txt"  # even one that stays inside
    path = write_tar(tmp_path / "birds.tar", FILES, info)
    assert refused([path], target) == f"{path}: member 'CUB/odd' is {said}; refused"


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (stat.S_IFLNK, "a link"),
        (stat.S_IFIFO, "a device or a pipe"),
        (stat.S_IFCHR, "a device or a pipe"),
    ],
)
@pytest.mark.parametrize("name", ["CUB/odd", "CUB/odd/"])
def test_links_and_devices_of_a_zip_are_refused(tmp_path, target, mode, said, name):
    path = tmp_path / "birds.zip"
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(info, b"/etc/passwd")
    assert refused([path], target) == f"{path}: member {name!r} is {said}; refused"


def test_a_link_cannot_lead_a_later_member_outside(tmp_path, target):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tarfile.TarInfo("door")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    path = tmp_path / "birds.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("door/evil"), io.BytesIO())
    assert "'door' is a link" in refused([path], target)
    assert not list(outside.iterdir())


def test_an_encrypted_zip_is_refused(tmp_path, target):
    path = write(tmp_path / "birds.zip")
    body = bytearray(path.read_bytes())
    body[body.index(b"PK\1\2") + 8] |= 1  # the flag in the directory
    path.write_bytes(body)
    assert "'CUB/images.txt' is an encrypted file; refused" in refused([path], target)


def size_without_padding(path: Path) -> int:
    """Bytes of an archive; of a plain tar without the zeros at its end."""
    if path.suffix != ".tar":
        return path.stat().st_size
    with tarfile.open(path) as tar:
        tar.getmembers()
        return tar.offset


@pytest.mark.parametrize("ending", [*MODES, "zip"])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_archive_is_named(tmp_path, target, ending, share):
    path = write(tmp_path / f"birds.{ending}")
    os.truncate(path, int(size_without_padding(path) * share))
    assert f"{path}: damaged archive (" in refused([path], target)


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_wrong_byte_in_a_compressed_archive_is_named(tmp_path, target, ending, share):
    path = write(tmp_path / f"birds.{ending}")
    body = bytearray(path.read_bytes())
    body[int(len(body) * share)] ^= 0xFF
    path.write_bytes(body)
    assert f"{path}: damaged archive (" in refused([path], target)


def test_a_tar_that_ends_between_members_is_named(tmp_path, target):
    """tarfile itself takes it for whole."""
    path = write(tmp_path / "birds.tar")
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    os.truncate(path, last.offset)
    assert "ends without an end mark" in refused([path], target)


def test_a_damaged_header_within_a_tar_is_named(tmp_path, target):
    """tarfile itself takes it for the end."""
    path = write(tmp_path / "birds.tar")
    with tarfile.open(path) as tar:
        second = tar.getmembers()[1]
    body = bytearray(path.read_bytes())
    body[second.offset] ^= 0xFF
    path.write_bytes(body)
    assert "ends without an end mark" in refused([path], target)


def test_a_wrong_checksum_at_the_end_of_a_gzip_is_named(tmp_path, target):
    plain = write(tmp_path / "birds.tar").read_bytes()
    body = bytearray(gzip.compress(plain))
    body[-6] ^= 0xFF
    path = tmp_path / "birds.tgz"
    path.write_bytes(body)
    assert "CRC check failed" in refused([path], target)


@pytest.mark.parametrize("body", [b"", b"<html>Too many requests</html>", bytes(2000)])
@pytest.mark.parametrize("name", ["birds.tgz", "birds.tar", "birds.ZIP"])
def test_what_is_no_archive_is_named(tmp_path, target, body, name):
    path = tmp_path / name
    path.write_bytes(body)
    assert f"{path}: damaged archive (" in refused([path], target)


def test_a_name_for_both_a_file_and_a_folder_is_named(tmp_path, target):
    path = write(tmp_path / "birds.tar", {"a": b"", "a/b": b""})
    assert "a file and a folder share a name" in refused([path], target)


def test_a_good_archive_before_a_damaged_one_leaves_nothing(tmp_path, target):
    good, bad = write(tmp_path / "good.tgz"), tmp_path / "bad.tgz"
    bad.write_bytes(good.read_bytes()[:-100])
    assert str(bad) in refused([good, bad], target)
    assert str(tmp_path / "none.tgz") in refused([good, tmp_path / "none.tgz"], target)


def test_a_full_disk_is_named(tmp_path, target):
    path = write(tmp_path / "birds.tar")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        line = refused([path], target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line == f"{path}: cannot be unpacked to {target.parent}: File too large"


def test_a_folder_that_cannot_be_made_is_named(tmp_path, target):
    path = write(tmp_path / "birds.tar")
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(GtaError, match="cannot be written: "):
        unpack([path], target)


def test_a_killed_unpacking_starts_over(tmp_path, target):
    path = write(tmp_path / "birds.tar")
    script = f"""
        import os, signal
        from pathlib import Path
        from gta.data.fetch.unpack import unpack
        def die(done, total):
            if done > 20_000:
                os.kill(os.getpid(), signal.SIGKILL)
        unpack([Path({str(path)!r})], Path({str(target)!r}), die)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    [left] = target.parent.glob(".abc.unpacking")
    (left / "stray").write_bytes(b"of another form")
    unpack([path], target)
    assert below(target) == PLAIN
    assert not left.exists()


# Crafted and mutated archives


def test_a_sparse_file_that_would_fill_the_disk_is_refused(tmp_path, target):
    path = tmp_path / "holes.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("GNUSparseFile.0/a")
        info.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": "a",
            "GNU.sparse.size": str(1 << 44),
            "GNU.sparse.map": f"0,1,{(1 << 44) - 1},0",
        }
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert "member 'a' is a sparse file; refused" in refused([path], target)


def test_more_than_an_archive_can_hold_is_refused(tmp_path, target):
    path = write(tmp_path / "zeros.zip", {f"{n}": bytes(1 << 26) for n in range(2)})
    assert "claims to hold more than 134,217,728 bytes" in refused([path], target)


def test_what_does_not_fit_is_refused_before_it_is_written(tmp_path, target, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=39_999))
    path = write(tmp_path / "birds.tar")
    assert "needs 40,000 bytes and 39,999 are free" in refused([path], target)


SMALL = {"a/b.jpg": NOISE[:700], "a/c.txt": b"1 a.jpg\n", "d/e/f.jpg": NOISE[:300]}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small archives of each kind."""
    folder = tmp_path_factory.mktemp("packed")
    return {
        ending: write(folder / f"birds.{ending}", SMALL).read_bytes() for ending in (*MODES, "zip")
    }


@settings(max_examples=250, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_archives_are_unpacked_or_refused_in_one_line(tmp_path_factory, packed, data):
    ending = data.draw(st.sampled_from(sorted(packed)))
    content = bytearray(packed[ending])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=6))
        if data.draw(st.booleans()):
            content[at : at + len(piece)] = piece
        else:
            content[at:at] = piece
    folder = tmp_path_factory.mktemp("mutated")
    path, target = folder / f"birds.{ending}", folder / "store" / "abc"
    path.write_bytes(content)
    said = ""
    try:
        unpack([path], target)
    except GtaError as error:
        said = str(error)
        assert not target.exists(), said
    assert "\n" not in said
    assert {part.name for part in folder.iterdir()} <= {path.name, "store"}
