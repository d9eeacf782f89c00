"""Writes docs/faults.md: lets every fault happen and prints what is said.

python -m tests.faults > docs/faults.md
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from gta import __version__
from tests.faults.faults import FAULTS, Fault, lay_out

HEAD = Path(__file__).resolve().parents[2] / "docs" / "faults.head.md"


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


if __name__ == "__main__":
    for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
        os.environ.pop(name, None)
    print(HEAD.read_text(encoding="utf-8").format(version=__version__), end="")
    print("\n| fault | what follows | what is printed |\n|---|---|---|")
    for fault in FAULTS:
        print(row(fault), flush=True)
