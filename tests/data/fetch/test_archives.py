"""Files of the archive folder: found under their names, checked, remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gta.catalog import Archive
from gta.data.fetch.archives import Checked, by_hand, check, find, mark_used
from gta.errors import GtaError

BODY = b"the archive's bytes"
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()
OTHER = b"other bytes, as long"[: len(BODY)]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Where digests are kept; not there yet."""
    return tmp_path / "store" / "archives"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file placed by hand."""
    path = tmp_path / "birds.tgz"
    path.write_bytes(BODY)
    return path


def rewrite_unseen(path: Path, body: bytes) -> None:
    """Give a file other bytes, and its old time."""
    status = path.stat()
    path.write_bytes(body)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def fault(call: Callable[[], object]) -> str:
    """The one line of a call's error."""
    with pytest.raises(GtaError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_found_under_any_name_the_own_first(tmp_path):
    archive = Archive("birds.tgz", other_names=("birds192.tgz", "CUB.tgz"))
    assert find(archive, tmp_path / "none") is None
    (tmp_path / "birds.tgz").mkdir()  # somebody unpacked it there
    assert find(archive, tmp_path) is None
    (tmp_path / "CUB.tgz").write_bytes(BODY)
    assert find(archive, tmp_path) == tmp_path / "CUB.tgz"
    (tmp_path / "birds.tgz").rmdir()
    (tmp_path / "birds.tgz").write_bytes(BODY)
    assert find(archive, tmp_path) == tmp_path / "birds.tgz"
    assert by_hand(archive, Path("data")) == (
        "place it by hand in data as birds.tgz or birds192.tgz or CUB.tgz"
    )


@pytest.mark.parametrize(
    ("facts", "verified"),
    [
        ({}, "unverified"),
        ({"size": len(BODY)}, "size"),
        ({"sha256": SHA256[:8]}, "sha256 prefix"),
        ({"md5": MD5.upper(), "sha256": SHA256[:8]}, "md5"),
        ({"md5": MD5, "sha256": SHA256, "size": len(BODY)}, "sha256"),
    ],
)
def test_says_what_it_was_compared_with(path, records, facts, verified):
    archive = Archive("birds.tgz", **facts)
    expected = Checked(path, len(BODY), MD5, SHA256, verified)
    assert check(archive, path, records) == expected
    assert check(archive, path, records) == expected  # this time from the record


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"size": 7}, f"has {len(BODY)} bytes in place of 7"),
        ({"md5": "0" * 32}, f"has md5 {MD5} in place of {'0' * 32}"),
        ({"sha256": "0" * 64}, f"has sha256 {SHA256} in place of {'0' * 64}"),
        ({"md5": MD5, "sha256": "a443fc2f"}, f"has sha256 {SHA256} in place of a443fc2f"),
    ],
)
def test_another_file_than_published_is_named_with_both_digests(path, records, facts, said):
    line = fault(lambda: check(Archive("birds.tgz", **facts), path, records))
    assert line == f"{path}: {said}; delete it, then fetch or place it again"
    assert path.read_bytes() == BODY


def test_an_empty_and_a_missing_file_are_named(path, records):
    path.write_bytes(b"")
    assert f"{path}: is empty" in fault(lambda: check(Archive("birds.tgz"), path, records))
    path.unlink()
    assert "No such file" in fault(lambda: check(Archive("birds.tgz"), path, records))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\n<!DOCTYPE html><html>Sign in", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
    ],
)
def test_a_web_page_and_a_pointer_are_named_and_bind_nobody(path, records, body, said):
    path.write_bytes(body)
    assert said in fault(lambda: check(Archive("birds.tgz"), path, records))
    path.write_bytes(BODY)
    assert check(Archive("birds.tgz"), path, records).sha256 == SHA256


def test_an_unchanged_file_is_not_read_again_unless_asked(path, records):
    archive = Archive("birds.tgz", md5=MD5)
    check(archive, path, records)
    [place] = records.iterdir()
    place.write_text(place.read_text().replace(SHA256, "0" * 64))
    assert check(archive, path, records).sha256 == "0" * 64  # from the record
    assert check(archive, path, records, afresh=True).sha256 == SHA256
    rewrite_unseen(path, OTHER)  # which its ctime tells all the same
    assert "has md5" in fault(lambda: check(archive, path, records))
    path.write_bytes(OTHER[:-1])
    assert "has md5" in fault(lambda: check(archive, path, records))


@pytest.mark.parametrize("record", ["", "{", "[]", '{"size": 1}'])
def test_a_damaged_record_is_written_again(path, records, record):
    archive = Archive("birds.tgz", md5=MD5)
    first = check(archive, path, records)
    [place] = records.iterdir()
    place.write_text(record)
    assert check(archive, path, records) == first
    assert SHA256 in place.read_text()


@pytest.mark.parametrize("facts", [{}, {"size": len(BODY)}, {"sha256": SHA256[:1]}])
def test_what_no_whole_digest_proves_is_held_to_its_first_use(path, records, facts):
    archive = Archive("birds.tgz", **facts)
    if "sha256" in facts:  # a body with the same first digit
        other = next(
            body
            for body in (OTHER[:-2] + b"%02d" % number for number in range(100))
            if hashlib.sha256(body).hexdigest().startswith(facts["sha256"])
        )
    else:
        other = OTHER
    path.write_bytes(other)
    check(archive, path, records)  # looked at, but not of use: it binds nobody
    path.write_bytes(BODY)
    mark_used([check(archive, path, records)])
    path.write_bytes(other)
    assert check(replace(archive, own=True), path, records).sha256 != SHA256
    path.write_bytes(BODY)
    mark_used([check(replace(archive, own=True), path, records)])
    path.write_bytes(other)
    line = fault(lambda: check(archive, path, records))
    [place] = records.iterdir()
    assert SHA256 in line
    assert hashlib.sha256(other).hexdigest() in line
    assert f"delete {place}" in line
    assert line == fault(lambda: check(archive, path, records)), "said once only"
    place.unlink()
    assert check(archive, path, records).path == path


def test_a_published_digest_counts_more_than_the_first_use(path, records):
    path.write_bytes(OTHER)
    mark_used([check(Archive("birds.tgz"), path, records)])
    path.write_bytes(BODY)
    archive = Archive("birds.tgz", sha256=SHA256)
    assert check(archive, path, records).verified == "sha256"
    assert check(replace(archive, sha256=None), path, records).sha256 == SHA256


def test_files_of_one_name_in_two_folders_have_a_record_each(tmp_path, path, records):
    check(Archive("birds.tgz"), path, records)
    other = tmp_path / "other" / "birds.tgz"
    other.parent.mkdir()
    other.write_bytes(OTHER)
    assert check(Archive("birds.tgz"), other, records).size == len(OTHER)
    assert len(list(records.iterdir())) == 2
