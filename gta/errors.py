"""The exception for faults that the user can fix."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Self


class GtaError(ValueError):
    """Bad input or a broken file: one clear line that says where, what and what to do.

    ``str(error)`` is ``where: what; remedy``. Code that needs a part reads the field; it never
    takes the message apart. The command line prints the line and exits with status 1.

    Attributes:
        what: the fault.
        where: the file, or file and key, that is at fault; empty where ``what`` says it.
        remedy: what to do about it; empty where ``what`` says it.
    """

    def __init__(self, what: str, *, where: str | os.PathLike[str] = "", remedy: str = "") -> None:
        """Join the parts into the line that is printed."""
        self.what, self.where, self.remedy = what, os.fspath(where), remedy
        line = f"{self.where}: {what}" if self.where else what
        super().__init__(f"{line}; {remedy}" if remedy else line)

    @property
    def fault(self) -> str:
        """The line without its remedy."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def with_remedy(self, remedy: str) -> Self:
        """The same fault with another remedy."""
        return type(self)(self.what, where=self.where, remedy=remedy)


def listed(things: Iterable[object], most: int = 10) -> str:
    """Names for a message of one line: the first ``most``, then how many more there are."""
    names = [" ".join(str(thing).split()) for thing in things]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
