"""Fetching, against a server on the loopback interface that breaks in every way."""

from __future__ import annotations

import gzip
import hashlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from gta.catalog import Archive
from gta.data.fetch import download
from gta.data.fetch.archives import check, mark_used
from gta.data.fetch.download import Patience, fetch
from gta.errors import GtaError
from tests.support.loopback import PROXY_VARIABLES, Host, give, give_chunked, host, status

BODY = np.random.default_rng(0).bytes(400_000)
OTHER = BODY[:100_000] + bytes([BODY[100_000] ^ 1]) + BODY[100_001:]  # a wrong byte
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()
QUICK = Patience(tries=3, pause=0.0, stall=0.3)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies are out of the way."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Host]:
    """A server."""
    with host() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The archive folder; not there yet."""
    return tmp_path / "archives"


def archive(*urls: str, **facts: Any) -> Archive:
    """An archive, its digest published unless said otherwise."""
    return Archive("birds.tgz", urls=urls, **({"md5": MD5} | facts))


def get(wanted: Archive, folder: Path, **options: Any) -> Path:
    """Fetch with little patience."""
    return fetch(wanted, folder, folder.parent / "records", patience=QUICK, **options)


def fault(wanted: Archive, folder: Path) -> str:
    """The one line with which a fetch fails."""
    with pytest.raises(GtaError) as caught:
        get(wanted, folder)
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


def names(folder: Path) -> set[str]:
    """Files in the archive folder that are not hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


# ---- what is there, and what is not


def test_fetched_checked_and_named(server, folder):
    url = server.serve("/a", give(BODY))
    told: list[tuple[int, int | None]] = []
    path = get(archive(url, size=len(BODY)), folder, progress=lambda *step: told.append(step))
    assert path == folder / "birds.tgz"
    assert path.read_bytes() == BODY
    assert names(folder) == {"birds.tgz"}
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)
    assert check(archive(url), path, folder.parent / "records").verified == "md5"


@pytest.mark.parametrize("name", ["birds.tgz", "birds192.tgz"])
def test_no_connection_when_it_is_there(folder, name, monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    folder.mkdir()
    (folder / name).write_bytes(BODY)
    wanted = archive("http://archives.invalid/a", other_names=("birds192.tgz",))
    assert get(wanted, folder) == folder / name
    assert names(folder) == {name}


def test_a_damaged_one_that_is_there_is_named_and_kept(server, folder):
    folder.mkdir()
    (folder / "birds.tgz").write_bytes(OTHER)
    line = fault(archive(server.serve("/a", give(BODY))), folder)
    assert line.startswith(f"{folder}/birds.tgz: has md5 {hashlib.md5(OTHER).hexdigest()} in place")
    assert (folder / "birds.tgz").read_bytes() == OTHER
    assert not server.asked


def test_without_an_address_it_says_what_to_place(folder):
    assert fault(archive(other_names=("CUB.tgz",)), folder) == (
        "birds.tgz: missing, and there is no address to fetch it from; "
        f"place it by hand in {folder} as birds.tgz or CUB.tgz"
    )
    assert not folder.exists()


def test_an_unpublished_digest_is_recorded_and_held_to(server, folder):
    url = server.serve("/a", give(BODY), give(OTHER))
    wanted = archive(url, md5=None)
    path = get(wanted, folder)
    mark_used([check(wanted, path, folder.parent / "records")])
    path.unlink()
    line = fault(wanted, folder)
    assert f"has sha256 {hashlib.sha256(OTHER).hexdigest()}, but the file used before" in line
    assert SHA256 in line
    assert names(folder) == set()


# ---- transfers that break


@pytest.mark.parametrize("how", ["cut", "stall"])
@pytest.mark.parametrize("facts", [{}, {"md5": None}], ids=["digest", "no digest"])
def test_a_broken_transfer_goes_on(server, folder, how, facts):
    broken: dict[str, Any] = {how: 200_000}
    first = give(BODY, ETag='"1"', **broken)
    url = server.serve("/a", first, give(BODY, ETag='"1"'))
    assert get(archive(url, **facts), folder).read_bytes() == BODY
    none, asked = server.ranges
    assert none is None
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    assert 100_000 < start <= 200_000
    assert server.asked[1][1]["if-range"] == '"1"'
    assert names(folder) == {"birds.tgz"}


def test_a_line_that_breaks_often_still_brings_a_large_file(server, folder):
    url = server.serve("/a", give(BODY, cut=50_000))
    assert get(archive(url), folder).read_bytes() == BODY
    assert len(server.asked) == 8 > QUICK.tries


def test_a_line_that_brings_nothing_is_given_up(server, folder):
    url = server.serve("/a", give(BODY, stall=0))
    line = fault(archive(url), folder)
    assert f"({url}: no answer in time (tried 3 times))" in line
    assert len(server.asked) == 3


def test_chunks_without_a_length(server, folder):
    url = server.serve("/a", give_chunked(BODY, whole=False), give_chunked(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    assert len(server.asked) == 2


def test_goes_on_after_the_process_was_killed(server, folder):
    url = server.serve("/a", give(BODY, stall=200_000, ETag='"1"'), give(BODY, ETag='"1"'))
    script = f"""
        from pathlib import Path
        from gta.catalog import Archive
        from gta.data.fetch.download import fetch
        def tell(done, total):
            print(done, flush=True)
        wanted = Archive("birds.tgz", urls=({url!r},))
        fetch(wanted, Path({str(folder)!r}), Path("records"), tell)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, cwd=folder.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 190_000:
            pass
        process.send_signal(signal.SIGKILL)
    assert names(folder) == {"birds.tgz.part", "birds.tgz.part.json"}
    assert get(archive(url, md5=None), folder).read_bytes() == BODY
    assert server.ranges[1] is not None
    assert names(folder) == {"birds.tgz"}


def test_killed_before_the_check_nothing_is_fetched_again(server, folder, monkeypatch):
    url = server.serve("/a", give(BODY))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(download, "compare", die)
        with pytest.raises(KeyboardInterrupt):
            get(archive(url), folder)
    assert get(archive(url), folder).read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_part_of_unknown_origin_is_used_if_a_digest_will_tell(server, folder):
    folder.mkdir()
    (folder / "birds.tgz.part").write_bytes(BODY[:300_000])  # by some other program
    url = server.serve("/a", give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    (folder / "birds.tgz").replace(folder / "birds.tgz.part")
    assert get(archive(url, md5=None), folder).read_bytes() == BODY
    assert server.ranges == ["bytes=300000-", None]


# ---- servers that are not what they were


def test_a_server_that_ignores_ranges_starts_over(server, folder):
    url = server.serve("/a", give(BODY, cut=200_000), give(BODY, ranges=False))
    assert get(archive(url), folder).read_bytes() == BODY
    assert server.ranges[1] is not None


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("name", ["ETag", "Last_Modified"])
def test_a_file_that_changes_midway_is_not_glued(server, folder, if_range, name):
    old: dict[str, Any] = {name: '"1"'}
    new: dict[str, Any] = {name: '"2"'}
    url = server.serve("/a", give(BODY, cut=200_000, **old), give(OTHER, if_range=if_range, **new))
    assert get(archive(url, md5=None), folder).read_bytes() == OTHER
    assert len(server.asked) == (2 if if_range else 3)


def test_a_file_of_another_size_is_not_glued(server, folder):
    url = server.serve("/a", give(BODY[:-1], cut=200_000), give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    first, second, third = server.ranges
    assert (first, third) == (None, None)
    assert second is not None


def test_pieces_of_different_files_are_fetched_again_from_the_first_byte(server, folder):
    changed = bytes(1) + BODY[1:]
    url = server.serve("/a", give(changed, cut=200_000), give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    first, second, third = server.ranges
    assert (first, third) == (None, None)
    assert second is not None


def test_without_any_sign_of_a_change_it_starts_over(server, folder):
    url = server.serve("/a", give(BODY, cut=200_000), give(BODY))
    assert get(archive(url, md5=None), folder).read_bytes() == BODY
    assert server.ranges == [None, None]


def test_a_weak_etag_is_no_sign(server, folder):
    url = server.serve("/a", give(BODY, cut=200_000, ETag='W/"1"'), give(BODY, ETag='W/"1"'))
    assert get(archive(url, md5=None), folder).read_bytes() == BODY
    assert server.ranges == [None, None]


def test_a_range_past_the_end_starts_over(server, folder):
    folder.mkdir()
    (folder / "birds.tgz.part").write_bytes(BODY + b"more")
    url = server.serve("/a", give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY) + 4}-", None]


def test_another_range_than_asked_for_starts_over(server, folder):
    url = server.serve("/a", give(BODY, cut=200_000), give(BODY, shift=10), give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY
    assert server.ranges[2] is None


# ---- answers other than the file


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(server, folder, code):
    url = server.serve("/a", status(code), status(code), give(BODY))
    assert get(archive(url), folder).read_bytes() == BODY


def test_pauses_grow_and_a_server_may_ask_for_longer(server, folder, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    late = [
        status(503),
        status(503),
        status(429, Retry_After="30"),
        status(503, Retry_After="9999"),
    ]
    url = server.serve("/a", *late, give(BODY))
    fetch(archive(url), folder, folder.parent / "records")
    assert pauses == [1.0, 2.0, 30.0, 60.0]


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_lasting_fault_goes_to_the_next_mirror(server, folder, code):
    first = server.serve("/a", status(code))
    second = server.serve("/b", give(BODY))
    assert get(archive(first, second), folder).read_bytes() == BODY
    assert [path for path, _ in server.asked] == ["/a", "/b"]


def test_mirrors_are_asked_in_order_and_each_fault_is_named(server, folder):
    urls = [
        server.serve("/gone", status(404)),
        server.serve("/busy", status(500)),
        server.serve("/page", give(BODY, Content_Type="text/html; charset=utf-8")),
        server.serve("/wrong", give(OTHER)),
        server.serve("/short", give(BODY[:-1])),
        server.serve("/round", status(302, Location="/round")),
    ]
    line = fault(archive(*urls, size=len(BODY)), folder)
    wrong = hashlib.md5(OTHER).hexdigest()
    assert line == (
        f"birds.tgz: cannot be fetched ({urls[0]}: HTTP 404 Not Found; "
        f"{urls[1]}: HTTP 500 Internal Server Error (tried 3 times); "
        f"{urls[2]}: answers with a web page in place of the file; "
        f"{urls[3]}: has md5 {wrong} in place of {MD5}; "
        f"{urls[4]}: has 399999 bytes in place of 400000; "
        f"{urls[5]}: redirects without end); mend the connection (for a proxy set HTTPS_PROXY) "
        f"or place it by hand in {folder} as birds.tgz"
    )
    assert names(folder) == set()


def test_a_wrong_byte_from_one_mirror_is_made_good_by_the_next(server, folder):
    wanted = archive(server.serve("/a", give(OTHER)), server.serve("/b", give(BODY)))
    assert get(wanted, folder).read_bytes() == BODY


def test_what_one_mirror_began_another_ends(server, folder):
    first = server.serve("/a", give(BODY, cut=200_000), status(404))
    second = server.serve("/b", give(BODY))
    assert get(archive(first, second), folder).read_bytes() == BODY
    assert server.ranges[2] is not None


def test_an_empty_answer_is_named(server, folder):
    url = server.serve("/a", status(200))
    assert f"{url}: is empty" in fault(archive(url, md5=None), folder)


def test_redirects_are_followed(server, folder):
    server.serve("/b", give(BODY))
    assert get(archive(server.serve("/a", status(302, Location="/b"))), folder).exists()


def test_a_gzip_that_the_server_calls_an_encoding_stays_packed(server, folder):
    packed = gzip.compress(BODY)
    url = server.serve("/a", give(packed, Content_Encoding="gzip"))
    wanted = archive(url, md5=hashlib.md5(packed).hexdigest())
    assert get(wanted, folder).read_bytes() == packed


# ---- the machine's own limits


def test_no_network_is_named(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://me:secret@127.0.0.1:{port}/a?token=secret"
    assert f"(http://127.0.0.1:{port}/a: Connection refused (tried 3 times))" in fault(
        archive(url), folder
    )


def test_an_unknown_host_is_named(folder, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    line = fault(archive("https://me:secret@archives.invalid/a"), folder)
    assert "(https://archives.invalid/a: Name or service not known (tried 3 times))" in line


def test_a_broken_encryption_is_named_and_not_tried_again(server, folder):
    url = server.serve("/a", give(BODY)).replace("http:", "https:")
    line = fault(archive(url), folder)
    assert f"{url}: [SSL" in line
    assert "tried" not in line


@pytest.mark.parametrize("url", ["http://[secret/a", "birds.tgz", "ftp://host/a", "http://"])
def test_a_malformed_address_is_named(folder, url):
    assert "this address, or the proxy's, is malformed" in fault(archive(url), folder)


def test_a_full_disk_is_seen_before_the_transfer(server, folder, monkeypatch):
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage(10, 10, 399_999))
    line = fault(archive(server.serve("/a", give(BODY))), folder)
    assert line == (
        f"{folder}/birds.tgz: 400000 more bytes are needed and 399999 are free; "
        f"make room or place it by hand in {folder} as birds.tgz"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_during_the_transfer_is_named(server, folder):
    folder.mkdir()
    (folder / "birds.tgz.part").symlink_to("/dev/full")
    line = fault(archive(server.serve("/a", give(BODY))), folder)
    assert line == (
        f"{folder}/birds.tgz.part: cannot be written: No space left on device; mend that and start "
        f"again (what is there is kept) or place it by hand in {folder} as birds.tgz"
    )


def test_a_folder_that_cannot_be_made_is_named(server, folder):
    folder.write_bytes(b"a file")
    line = fault(archive(server.serve("/a", give(BODY))), folder)
    assert line.startswith(f"{folder}/birds.tgz: cannot be written: ")
    assert not server.asked


def test_two_that_want_the_same_file_fetch_it_once(server, folder):
    def slowly(handler: Any) -> None:
        time.sleep(0.2)
        give(BODY)(handler)

    url = server.serve("/a", slowly)
    threads = [threading.Thread(target=get, args=(archive(url), folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert (folder / "birds.tgz").read_bytes() == BODY


# ---- proxies


def test_a_proxy_of_the_environment_is_asked(server, folder, monkeypatch):
    url = "http://archives.invalid/a"
    server.serve(url, give(BODY))
    monkeypatch.setenv("http_proxy", server.url("", user="me:secret@"))
    assert get(archive(url), folder).read_bytes() == BODY
    [(asked, headers)] = server.asked
    assert asked == url
    assert headers["proxy-authorization"].startswith("Basic ")


def test_no_proxy_is_honoured(server, folder, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://archives.invalid:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(archive(server.serve("/a", give(BODY))), folder).read_bytes() == BODY


def test_a_proxy_that_refuses_is_named_without_its_password(server, folder, monkeypatch):
    server.serve("archives.invalid:443", status(407))
    server.serve("http://archives.invalid/a", status(407))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, server.url("", user="me:secret@"))
    line = fault(archive("https://archives.invalid/a", "http://archives.invalid/a"), folder)
    assert "the proxy: Tunnel connection failed: 407 Proxy Authentication Required" in line
    assert "http://archives.invalid/a: HTTP 407 Proxy Authentication Required" in line


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("http://me:secret@127.0.0.1:1", "the proxy: Connection refused"),
        ("http://me:secret@[", "this address, or the proxy's, is malformed"),
        ("http://", "this address, or the proxy's, is malformed"),
    ],
)
def test_a_proxy_that_is_not_there_is_named_without_its_password(folder, monkeypatch, proxy, said):
    monkeypatch.setenv("http_proxy", proxy)
    assert said in fault(archive("http://archives.invalid/a"), folder)


def test_a_socks_proxy_says_what_it_needs(folder, monkeypatch):
    def missing(*arguments, **settings):  # what requests does where PySocks is not installed
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("all_proxy", "socks5://me:secret@127.0.0.1:1")
    assert "PySocks" in fault(archive("http://archives.invalid/a"), folder)
