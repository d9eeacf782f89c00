"""Writes the floors of the package into CONTRIBUTING.md, from the list that the tests hold."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from docs.make.page import ROOT, fill_section, markdown_row, section_of
from tests.test_floors import FLOORS, PACKAGE

PAGE, COMMAND = ROOT / "CONTRIBUTING.md", "python -m docs.make floors"
SOURCES = [Path(__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results


def part() -> str:
    """The table: a row a floor, from the top."""
    floors: dict[int, list[str]] = defaultdict(list)
    for name, floor in FLOORS.items():
        if (found := _about(name)) is not None:
            floors[floor].append(f"`{name}`: {found}")
    rows = [
        markdown_row([str(floor), "<br>".join(sorted(floors[floor]))])
        for floor in sorted(floors, reverse=True)
    ]
    return "\n".join([markdown_row(["floor", "modules"]), markdown_row(["---", "---"]), *rows])


def _about(name: str) -> str | None:
    """The first line of a module's docstring."""
    for path in (PACKAGE / name / "__init__.py", PACKAGE / f"{name}.py"):
        if path.exists():
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            return docstring.splitlines()[0].replace("|", "\\|")
    return None


def text() -> str:
    """The page with today's table."""
    return section_of(PAGE, COMMAND, SOURCES, part(), VERSIONS)


def write() -> None:
    """Write the table."""
    fill_section(PAGE, COMMAND, SOURCES, part(), VERSIONS)
