"""SIGTERM and SIGUSR1, which schedulers send before they kill, end a job at its next safe point."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

ENDING = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """A signal ended the job; its exit status is 128 + n, as a shell's."""

    def __init__(self, number: signal.Signals) -> None:
        """Store the signal's status as ``code``."""
        super().__init__(128 + number)
        self.signal = number


class Signals:
    """Record the signals in ``ENDING`` while the context lasts; do nothing else.

    Attributes:
        received: the first signal that came, None before.
    """

    def __init__(self) -> None:
        """Install no handler before the context opens."""
        self.received: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Python lets the main thread alone set handlers; elsewhere signals act as they would.
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)

    def check(self) -> None:
        """Stop if a signal has come.

        Raises:
            Stopped: one has come.
        """
        if self.received is not None:
            raise Stopped(self.received)


def say(line: str) -> None:
    """Print a line on stderr, for the job's log or the terminal."""
    print(line, file=sys.stderr, flush=True)
