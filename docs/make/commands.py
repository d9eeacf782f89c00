"""Writes docs/commands.md: every command of ``gta``, from the command line itself."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import typer

from docs.make import stamp
from docs.make.page import DOCS, markdown_row
from gta.cli import app

PAGE, COMMAND = DOCS / "commands.md", "python -m docs.make commands"
SOURCES = [Path(__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results

HEAD = """\
# Commands

`gta COMMAND --help` says the same. Every command works from any directory: results and data lie in
the project, which is the working folder or the nearest folder above it with a workflow and configs.

**Exit status.** 0: done. 1: an error, which is one line on stderr that begins with `error:`; also
`gta compare --fail-below` where a cell fails, and `gta doctor` where something is at fault. 2: the
command line is wrong. 130: interrupted.

**Shell completion.** `gta --install-completion` installs it for your shell.

**Scripts.** `--json` prints JSON on stdout and nothing else; progress bars and colours are shown on
terminals alone, and `NO_COLOR=1` turns colours off there too.
"""


def text() -> str:
    """The page."""
    root: Any = typer.main.get_command(app)
    parts = [stamp.head(COMMAND, SOURCES, VERSIONS), HEAD]
    parts += [_command(path, command) for path, command in _all(root, ("gta",))]
    return "\n".join(parts).rstrip() + "\n"


def _all(command: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    below = sorted(command.commands.items())
    return [one for name, member in below for one in _all(member, (*path, name))]


def _command(path: tuple[str, ...], command: Any) -> str:
    lines = [f"## {' '.join(path)}", "", _words(command.help or ""), ""]
    rows = [_parameter(one) for one in command.params if not getattr(one, "hidden", False)]
    rows = [row for row in rows if row is not None]
    if rows:
        lines += [markdown_row(["option", "what"]), markdown_row(["---", "---"]), *rows, ""]
    return "\n".join(lines)


def _words(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", inspect.cleandoc(text).replace("\b", ""))


def _parameter(parameter: Any) -> str | None:
    if "--help" in parameter.opts:
        return None
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = ", ".join(parameter.opts)
        if not parameter.is_flag and parameter.metavar:
            name += f" {parameter.metavar}"
    words = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return markdown_row([f"`{name}`".replace("|", "\\|"), words])


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")
