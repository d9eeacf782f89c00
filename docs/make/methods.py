"""Writes docs/methods.md: formulas, references and settings of the methods, from their classes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from docs.make import stamp
from docs.make.page import DOCS
from gta.methods import METHODS

PAGE, COMMAND = DOCS / "methods.md", "python -m docs.make methods"
SOURCES = [Path(__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results

HEAD = """\
# Methods

A method says which parameters train, what it reads of source and model, and its penalty. Each is
one file in `gta/methods`; this page is written from their classes. `methods:` of a config sets
grids and settings; a method of your own: [Extending](extend.md).
"""


def text() -> str:
    """The page."""
    parts = [stamp.head(COMMAND, SOURCES, VERSIONS), HEAD]
    for name, method in METHODS.items():
        docstring = inspect.cleandoc(method.__doc__ or "")
        words, _, settings = docstring.partition("Attributes:")
        lines = [f"## {method.title}", "", f"`{name}`. {words.strip()}", ""]
        if method.reference:
            lines += [f"**Reference.** {method.reference}", ""]
        if method.grid:
            grid = ", ".join(f"{lam:g}" for lam in method.grid)
            lines += [f"**λ.** Tried by default: {grid}.", ""]
        if settings.strip():
            entries = re.split(r"\n(?=\S)", inspect.cleandoc("\n" + settings))
            lines += ["**Settings.**", ""]
            lines += [
                "- " + " ".join(entry.split()).replace(":", "`:", 1).join(["`", ""])
                for entry in entries
                if ":" in entry
            ]
            lines.append("")
        parts.append("\n".join(lines))
    return "\n".join(parts).rstrip() + "\n"


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")
