"""Writes into docs/grocery.md what GTA gives with lambda as the weight of the mean.

From the results of config/grocery-mean.yaml.
"""

from __future__ import annotations

from pathlib import Path

from docs.make.grocery import machine
from docs.make.page import DOCS, ROOT, fill_section, table_of
from gta.results import read_collected
from gta.study import Study

CONFIGS = [ROOT / "config" / "grocery.yaml", ROOT / "config" / "grocery-mean.yaml"]
PAGE, COMMAND = DOCS / "grocery.md", "python -m docs.make grocery_mean"
SOURCES = [Path(__file__), *CONFIGS]


def write() -> None:
    """Write the part.

    Raises:
        GtaError: if a result that it is made of is missing.
    """
    study = Study.load(CONFIGS)
    text = f"{table_of(study, 'grocery_mean')}\n\n{machine(read_collected(study))}"
    fill_section(PAGE, COMMAND, SOURCES, text)
