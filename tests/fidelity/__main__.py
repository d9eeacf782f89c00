"""Measure all comparisons and write their table into docs/fidelity.md: python -m tests.fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tests.fidelity import recorded
from tests.fidelity.cases import CASES, measure

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
BEGIN = "<!-- `make docs` writes the table from here -->\n"
END = "<!-- to here -->\n"
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


def main() -> None:
    """Write the table."""
    torch.set_num_threads(1)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = HEADER + "".join(row(name, measure(name)) for name in CASES)
    PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
