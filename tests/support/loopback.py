"""A server on the loopback interface that answers as told, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Handler(BaseHTTPRequestHandler):
    """Looks up the answer to a path; the last of several is repeated."""

    server: Host

    def do_GET(self) -> None:
        host = self.server
        with host.lock:
            answers = host.answers.get(self.path, [status(404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            host.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.close_connection = True
        answer(self)

    do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class Host(ThreadingHTTPServer):
    """A server and what it was asked.

    Attributes:
        answers: of each path, in order.
        asked: path and headers (names in lower case) of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def serve(self, path: str, *answers: Answer) -> str:
        """Set the answers to a path; its address."""
        self.answers[path] = list(answers)
        return self.url(path)

    def url(self, path: str, user: str = "") -> str:
        """Address of a path."""
        return f"http://{user}127.0.0.1:{self.server_port}{path}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [headers.get("range") for _, headers in self.asked]


@contextmanager
def host() -> Iterator[Host]:
    """A running server."""
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def status(code: int, **headers: str) -> Answer:
    """Only a status; ``_`` in a header's name stands for ``-``."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def give(
    body: bytes,
    *,
    cut: int | None = None,
    stall: int | None = None,
    ranges: bool = True,
    if_range: bool = True,
    shift: int = 0,
    **headers: str,
) -> Answer:
    """A file.

    Args:
        body: its bytes.
        cut: break off after so many bytes.
        stall: fall silent after so many bytes.
        ranges: honour Range.
        if_range: honour If-Range.
        shift: begin a range so many bytes from where it was asked to.
        headers: further headers; ``_`` in a name stands for ``-``.
    """

    def answer(handler: Handler) -> None:
        asked = handler.headers.get("Range") if ranges else None
        condition = handler.headers.get("If-Range")
        if if_range and condition not in (None, headers.get("ETag"), headers.get("Last_Modified")):
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) + shift if asked else 0
        if start >= len(body):
            status(416)(handler)
            return
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - start))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        sent = body[start:]
        shown = min((n for n in (cut, stall) if n is not None), default=len(sent))
        handler.wfile.write(sent[:shown])
        handler.wfile.flush()
        if stall is not None:
            handler.server.closing.wait(30)

    return answer


def give_chunked(body: bytes, *, whole: bool = True) -> Answer:
    """A file of unannounced length, in chunks; without the last one if not ``whole``."""

    def answer(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if whole else b""))

    return answer
