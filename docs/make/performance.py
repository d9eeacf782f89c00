"""Writes docs/performance.md from results/benchmarks.json, which ``make bench`` measures."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.page import to_markdown
from docs.make import stamp
from docs.make.page import DOCS, ROOT
from gta.errors import GtaError

HEAD = Path(__file__).with_name("performance.head.md")
MEASURED = ROOT / "results" / "benchmarks.json"
PAGE, COMMAND = DOCS / "performance.md", "python -m docs.make performance"
SOURCES = [Path(__file__), HEAD, ROOT / "benchmarks" / "page.py"]


def write() -> None:
    """Write the page.

    Raises:
        GtaError: if nothing was measured yet.
    """
    try:
        found = json.loads(MEASURED.read_text(encoding="utf-8"))
    except OSError:
        raise GtaError(f"{MEASURED}: missing; run `make bench` first") from None
    figures = [Figure(**{**row, "values": tuple(row["values"])}) for row in found["figures"]]
    text = to_markdown(HEAD, figures, found["skipped"], found["machine"])
    PAGE.write_text(text.replace("<!-- STAMP -->", stamp.head(COMMAND, SOURCES)), encoding="utf-8")
