"""Writes the table of sources into docs/sources.md, from the catalog."""

from __future__ import annotations

from pathlib import Path

import gta
from docs.make.page import DOCS, fill_section
from gta.catalog import SOURCES as CATALOG
from gta.catalog import SourceInfo

PAGE, COMMAND = DOCS / "sources.md", "python -m docs.make sources"
VERSIONS: dict[str, int] = {}  # it is made of no results
SOURCES = [Path(__file__), Path(gta.__file__).parent / "catalog" / "sources.py"]
HEADER = """\
| name | architecture | pre-training | file | licence | what [cls] is trained on |
|---|---|---|---|---|---|
"""


def row(name: str, info: SourceInfo) -> str:
    """A row of the table."""
    if info.shipped is not None:
        file = "shipped"
    elif info.archive is not None and info.archive.urls:
        file = f"[{info.archive.file}]({info.archive.urls[0]})"
    elif info.archive is None:
        file = f"`{info.hub}` on the hub"
    else:
        file = f"place `{info.archive.file}` by hand"
    fields = (f"`{name}`", f"`{info.architecture}`", info.objective, file, info.licence, info.note)
    return f"| {' | '.join(fields)} |\n"


def write() -> None:
    """Write the table."""
    table = HEADER + "".join(row(name, info) for name, info in CATALOG.items())
    fill_section(PAGE, COMMAND, SOURCES, table, VERSIONS)
