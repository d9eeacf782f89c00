"""Writes docs/faults.md: lets every fault happen and takes down what is printed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from docs.make import stamp
from docs.make.page import DOCS, ROOT, fill
from gta import __version__
from tests.faults.faults import FAULTS, Fault, lay_out

HEAD = Path(__file__).with_name("faults.head.md")
PAGE, COMMAND = DOCS / "faults.md", "python -m docs.make faults"
VERSIONS: dict[str, int] = {}  # it is made of no results
SOURCES = [Path(__file__), HEAD, ROOT / "tests" / "faults" / "faults.py"]
HEADER = "| fault | what follows | what is printed |\n|---|---|---|\n"


def said(fault: Fault) -> str:
    """Let a fault happen in a folder of its own; the line that is printed."""
    folder = Path(tempfile.mkdtemp(prefix="gta-faults-"))
    try:
        with chdir(folder):
            return fault.line(lay_out(folder))
    finally:
        shutil.rmtree(folder)


def row(fault: Fault) -> str:
    """A row of the table."""
    line = said(fault).replace("|", "\\|")
    return f"| {fault.name} | {fault.outcome} | `` {line} `` |"


def write() -> None:
    """Let every fault happen, and write the page."""
    for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
        os.environ.pop(name, None)
    parts = {
        "STAMP": stamp.head(COMMAND, SOURCES, VERSIONS),
        "VERSION": __version__,
        "FAULTS": HEADER + "\n".join(map(row, FAULTS)),
    }
    PAGE.write_text(fill(HEAD, parts), encoding="utf-8")
