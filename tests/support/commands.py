"""Calling `gta` in this process."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gta.cli import app, main


def gta(*arguments: str) -> str:
    """What a command prints on stdout; it must succeed."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def error_of(*arguments: str) -> str:
    """The one line that a failing command leaves."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = str(stop.value.code)  # which the interpreter prints on stderr, with status 1
    assert said.startswith("error: ")
    assert "\n" not in said
    return said.removeprefix("error: ")
