"""Writes docs/mini-results.md and its pictures from results/mini and results/mini-fresh."""

from __future__ import annotations

import shutil
from pathlib import Path

from docs.make import stamp
from docs.make.page import DOCS, ROOT, fill, table_of
from gta.errors import GtaError
from gta.study import Study

HEAD = Path(__file__).with_name("mini.head.md")
CONFIGS = [ROOT / "config" / "mini.yaml", ROOT / "config" / "mini-fresh.yaml"]
TABLES = ("table2", "table4", "table3", "table5", "table6", "tableA1", "table1")
PAGE, COMMAND = DOCS / "mini-results.md", "python -m docs.make mini"
SOURCES = [Path(__file__), HEAD, *CONFIGS]


def write() -> None:
    """Write the page, and copy the figures.

    Raises:
        GtaError: if one of the two studies is not done.
    """
    mini, fresh = Study.load(CONFIGS[:1]), Study.load(CONFIGS)
    tables = [table_of(fresh, "fresh"), *(table_of(mini, name) for name in TABLES)]
    for name in mini.figures:
        picture = mini.folder / "figures" / f"{name}.png"
        if not picture.exists():
            raise GtaError(f"{picture}: missing; run `snakemake` first")
        shutil.copy(picture, DOCS / "images")
    parts = {"STAMP": stamp.head(COMMAND, SOURCES), "TABLES": "\n\n".join(tables)}
    PAGE.write_text(fill(HEAD, parts), encoding="utf-8")
