"""Measures the comparisons with other projects' code and writes them into docs/fidelity.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from docs.make.page import DOCS, ROOT, fill_section
from tests.fidelity import recorded
from tests.fidelity.cases import CASES, measure

PAGE, COMMAND = DOCS / "fidelity.md", "python -m docs.make fidelity"
VERSIONS: dict[str, int] = {}  # it is made of no results
SOURCES = [Path(__file__), *sorted((ROOT / "tests" / "fidelity").glob("[!_]*.*"))]
HEADER = """\
| what | reference | inputs | values | gradient |
|---|---|---|---|---|
"""


def row(name: str, errors: Mapping[str, float]) -> str:
    """A row of the table, from the errors of a case by output."""
    case, origin = CASES[name], recorded.origins()[name]
    url = f"https://github.com/{origin.repository}/blob/{origin.commit}/{origin.file}"
    place = f"[{origin.repository}@{origin.commit[:7]}]({url}): {origin.function}"
    kinds = {output: parts[0].dtype.kind for output, parts in recorded.values(name).items()}
    outputs = [output for output in errors if output != "gradient"]
    worst = f"{max((errors[output] for output in outputs), default=0.0):.1e}"
    if all(kinds[output] in "biU" for output in outputs):
        worst = "equal" if not any(errors.values()) else "differ"
    gradient = f"{errors['gradient']:.1e}" if "gradient" in errors else ""
    if case.deviates:
        worst += " (kept)"
    return f"| {case.what} | {place} | {case.given} | {worst} | {gradient} |\n"


def write() -> None:
    """Measure, and write the table."""
    torch.set_num_threads(1)
    table = HEADER + "".join(row(name, measure(name)) for name in CASES)
    fill_section(PAGE, COMMAND, SOURCES, table, VERSIONS)
