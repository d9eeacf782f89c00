"""Fetching of archives: mirrors in order, tried again, continued, checked, then named.

A file placed by hand and a fetched one are treated alike. While a file is there no connection
is opened for it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from http.client import responses as PHRASES
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from gta import __version__
from gta.catalog import Archive
from gta.data.fetch.archives import Progress, WrongFileError, by_hand, check, compare, find
from gta.errors import GtaError
from gta.files import path_lock, write_text

CHUNK = 1 << 16  # bytes; what a connection that stalls may lose
CONNECT_TIMEOUT = 30.0  # seconds
LONGEST_PAUSE = 60.0  # seconds, whatever a server asks for


@dataclass(frozen=True)
class Patience:
    """Time limits and number of tries before a mirror is given up.

    Attributes:
        tries: in a row that bring nothing.
        pause: seconds before the second of them; doubled before each further one.
        stall: seconds without a byte after which a connection counts as broken.
    """

    tries: int = 5
    pause: float = 1.0
    stall: float = 60.0


def fetch(
    archive: Archive,
    folder: Path,
    records: Path,
    progress: Progress | None = None,
    patience: Patience = Patience(),
) -> Path:
    """Find an archive in a folder or fetch it from its mirrors, and check it.

    A transfer that was cut short, by the network or by the end of the process, continues where it
    stopped. Proxies are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY`` ...). Processes
    that want the same file wait for the one that fetches it.

    Args:
        archive: what to fetch.
        folder: where it lies or is to lie.
        records: folder of digests, as for ``check``.
        progress: called with bytes done and bytes in all.
        patience: when a mirror is given up.

    Raises:
        GtaError: if no mirror gives the file as published, the one that is there is not it, or
            the folder cannot be written to.
    """
    path = find(archive, folder)
    if path is None and not archive.urls:
        raise GtaError(
            f"{archive.file}: missing, and there is no address to fetch it from; "
            + by_hand(archive, folder)
        )
    if path is None:
        with path_lock(folder / archive.file):
            path = find(archive, folder)
            if path is None:
                path = folder / archive.file
                _from_any(archive, path, records, progress or (lambda *_: None), patience)
    check(archive, path, records)
    return path


class _MirrorError(Exception):
    """A mirror's failure; the text holds no address, since that may hold a password."""


class _PassingError(_MirrorError):
    """A fault that another try may not have.

    Attributes:
        pause: seconds that the server asks for.
    """

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def _from_any(
    archive: Archive, path: Path, records: Path, progress: Progress, patience: Patience
) -> None:
    faults = []
    with requests.Session() as session:
        # Not "gzip": the file's own bytes are wanted, however the server calls them.
        session.headers.update({"User-Agent": f"gta/{__version__}", "Accept-Encoding": "identity"})
        transfer = _Transfer(archive, path, records, session, progress, patience)
        for url in archive.urls:
            try:
                return transfer.run(url)
            except (_MirrorError, WrongFileError) as error:
                faults.append(f"{_shown(url)}: {error}")
    raise GtaError(
        f"{archive.file}: cannot be fetched ({'; '.join(faults)}); mend the connection (for a "
        f"proxy set HTTPS_PROXY) or {by_hand(archive, path.parent)}"
    )


@dataclass(frozen=True)
class _Origin:
    """Address and validators of the file that a partial download belongs to.

    Attributes:
        url: the mirror.
        validator: its ETag or date, by which it knows the file again; may be empty.
        total: bytes of the whole file, where known.
    """

    url: str = ""
    validator: str = ""
    total: int | None = None


class _Transfer:
    """A file on its way: ``<file>.part``, and beside it its origin."""

    def __init__(
        self,
        archive: Archive,
        path: Path,
        records: Path,
        session: requests.Session,
        progress: Progress,
        patience: Patience,
    ) -> None:
        self.archive = archive
        self.path = path
        self.records = records
        self.session = session
        self.progress = progress
        self.patience = patience
        self.part = path.with_name(f"{path.name}.part")
        self.about = path.with_name(f"{path.name}.part.json")
        self.glued = False  # whether the part comes from more than one response

    def run(self, url: str) -> None:
        """Bring the file from one mirror to its place, checked."""
        try:
            for last in (False, True):
                self._complete(url)
                try:
                    compare(self.archive, self.part, self.path, self.records, afresh=True)
                    break
                except WrongFileError:
                    self._forget()
                    if last or not self.glued:
                        raise
                    # The pieces may be of different files: once more, from the first byte.
            self.part.replace(self.path)
            self.about.unlink(missing_ok=True)
        except OSError as error:
            raise GtaError(
                f"{self.part}: cannot be written: {error.strerror or error}; mend that and start "
                f"again (what is there is kept) or {by_hand(self.archive, self.path.parent)}"
            ) from None

    def _complete(self, url: str) -> None:
        # Not a library's retry: a try that brought bytes must not count, or a large file would
        # never arrive over a line that breaks now and then.
        tries = 0
        while True:
            before = self._done()
            try:
                return self._go_on(url)
            except _PassingError as error:
                tries = 1 if self._done() > before else tries + 1
                if tries >= self.patience.tries:
                    raise _MirrorError(f"{error} (tried {tries} times)") from None
                pause = max(error.pause, self.patience.pause * 2 ** (tries - 1))
            time.sleep(min(pause, LONGEST_PAUSE))

    def _go_on(self, url: str) -> None:
        """Request the missing bytes of a partial download once."""
        start, origin = self._done(), self._origin()
        known = origin.url == _shown(url) and bool(origin.validator)
        # Where the server cannot tell whether it still has the same file, a digest will.
        if not (known or self.archive.md5 or self.archive.sha256):
            start = 0
        if start and start == origin.total:
            self.glued = True  # by the process that left it, perhaps
            return
        headers = _authorisation(url)
        if start:
            headers["Range"] = f"bytes={start}-"
            if known:
                headers["If-Range"] = origin.validator
        try:
            response = self.session.get(
                url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, self.patience.stall)
            )
        except (OSError, HTTPError) as error:  # requests' own errors are OSErrors
            raise _error_of(error) from None
        with response:
            total = self._total(response, start)
            validator = _validator(response)
            self.glued = response.status_code == 206
            if self.glued:
                validator = validator or origin.validator
                if origin.total not in (None, total) or (known and validator != origin.validator):
                    self._forget()
                    raise _PassingError("has another file than before")
            try:
                self._keep(response, _Origin(_shown(url), validator, total))
            except HTTPError as error:
                raise _error_of(error) from None
        if total is not None and self._done() < total:
            raise _PassingError(f"the connection broke after {self._done()} of {total} bytes")

    def _total(self, response: requests.Response, start: int) -> int | None:
        """Judge the head of an answer; bytes of the whole file, where known."""
        status, headers = response.status_code, response.headers
        if status == 416 and start:
            self._forget()
            raise _PassingError("has no bytes after those fetched before")
        if status in (408, 429) or status >= 500:
            asked = headers.get("Retry-After", "")
            raise _PassingError(_phrase(status), float(asked) if asked.isdecimal() else 0.0)
        if status in (401, 403) and _is_of_hub(response.request.url or ""):
            raise _MirrorError(
                f"{_phrase(status)}: the repository is private, gated or missing; set HF_TOKEN to "
                "a token that may read it"
            )
        if status not in (200, 206):
            raise _MirrorError(_phrase(status))
        if headers.get("Content-Type", "").startswith("text/html"):
            raise _MirrorError("answers with a web page in place of the file")
        size = headers.get("Content-Length", "")
        if status == 206:
            given, _, size = headers.get("Content-Range", "").partition("/")
            if not start or not given.startswith(f"bytes {start}-"):
                self._forget()
                raise _PassingError("sends other bytes than asked for")
        total = int(size) if size.isdecimal() else self.archive.size
        if self.archive.size not in (None, total):
            raise _MirrorError(f"has {total} bytes in place of {self.archive.size}")
        return total

    def _keep(self, response: requests.Response, origin: _Origin) -> None:
        """Write an answer's body to the part, after what is there or in place of it."""
        done, total = self._done() if self.glued else 0, origin.total
        missing, free = (total or done) - done, shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise GtaError(
                f"{self.path}: {missing} more bytes are needed and {free} are free; make room "
                f"or {by_hand(self.archive, self.path.parent)}"
            )
        with self.part.open("ab" if self.glued else "wb") as file:
            # Only now: old bytes must never stand beside a new origin.
            write_text(self.about, json.dumps(asdict(origin)) + "\n")
            self.progress(done, total)
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                done += len(chunk)
                self.progress(done, total)
            file.flush()
            os.fsync(file.fileno())

    def _done(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def _origin(self) -> _Origin:
        try:
            return _Origin(**json.loads(self.about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Origin()

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


def _is_of_hub(url: str) -> bool:
    """Whether an address is of the Hugging Face hub, or the mirror that HF_ENDPOINT names."""
    from huggingface_hub import constants

    hub, asked = urlsplit(constants.ENDPOINT), urlsplit(url)
    return (asked.scheme, asked.netloc) == (hub.scheme, hub.netloc)


def _authorisation(url: str) -> dict[str, str]:
    """The header for private models, sent to the hub alone.

    At a redirection to another host, requests drops it.
    """
    from huggingface_hub import get_token

    try:
        token = get_token() if _is_of_hub(url) else None
    except ValueError:  # of an address that cannot be read
        return {}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _phrase(status: int) -> str:
    return f"HTTP {status} {PHRASES.get(status, '')}".rstrip()


def _validator(response: requests.Response) -> str:
    etag = response.headers.get("ETag", "")
    # A weak ETag does not promise the same bytes.
    strong = "" if etag.startswith("W/") else etag
    return strong or response.headers.get("Last-Modified", "")


def _shown(url: str) -> str:
    """An address without what may be secret: user, password, query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _error_of(error: Exception) -> _MirrorError:
    """Reason for a missing answer, without an address."""
    inner: BaseException = error
    while below := inner.__cause__ or inner.__context__:
        inner = below
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        reason = "no answer in time"
    elif isinstance(inner, OSError) and not isinstance(inner, requests.RequestException):
        reason = " ".join((inner.strerror or str(inner)).split())
    elif "SOCKS" in str(error):
        reason = "a SOCKS proxy needs the package PySocks"
    elif isinstance(error, ValueError):
        reason = "this address, or the proxy's, is malformed"
    elif isinstance(error, requests.TooManyRedirects):
        reason = "redirects without end"
    else:
        reason = "the connection broke"
    if isinstance(error, requests.exceptions.ProxyError):
        reason = f"the proxy: {reason}"
    passing = isinstance(error, requests.ConnectionError | requests.Timeout | HTTPError)
    if passing and not isinstance(error, requests.exceptions.SSLError | ValueError):
        return _PassingError(reason)
    return _MirrorError(reason)
