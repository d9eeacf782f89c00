"""Where figures go: a table on the terminal, ``docs/performance.md``, ``results/bench.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.figures import Figure

HEADINGS = ("what", "median", "spread", "goal", "reached", "repeats", "made of")


def shown(value: float, unit: str = "") -> str:
    """Three significant digits and the unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}{f' {unit}' if unit else ''}"


def cells(figure: Figure) -> list[str]:
    """A row of the table."""
    wanted = {"lower": "at most", "higher": "at least"}[figure.better]
    reached = {None: "", True: "yes", False: "no"}[figure.reached]
    return [
        figure.what,
        shown(figure.median, figure.unit),
        shown(figure.spread, figure.unit) if len(figure.values) > 1 else "",
        "" if figure.goal is None else f"{wanted} {shown(figure.goal, figure.unit)}",
        reached,
        str(len(figure.values)),
        figure.detail,
    ]


def table(figures: Sequence[Figure]) -> Table:
    """For the terminal."""
    made = Table("name", *HEADINGS[1:])
    for figure in figures:
        made.add_row(figure.name, *cells(figure)[1:])
    return made


def to_json(figures: Sequence[Figure]) -> str:
    """A list of ``{name, ratio, spread, goal, better}``; seconds where the goal is in seconds."""
    rows = [
        {
            "name": figure.name,
            "ratio": figure.median,
            "spread": figure.spread if len(figure.values) > 1 else None,
            "goal": figure.goal,
            "better": figure.better,
        }
        for figure in figures
    ]
    return json.dumps(rows, indent=1) + "\n"


def to_markdown(
    head: Path, figures: Sequence[Figure], skipped: Mapping[str, str], machine: Mapping[str, str]
) -> str:
    """The page: words from ``head``, then the table, what was left out, and the machine."""
    lines = [head.read_text(encoding="utf-8").rstrip(), "", "## Figures", ""]
    lines += [
        markdown_row(HEADINGS),
        markdown_row(["---"] * len(HEADINGS)),
        *(markdown_row(cells(f)) for f in figures),
    ]
    if skipped:
        lines += ["", "Not measured:", ""]
        lines += [f"- `{name}`: {why}" for name, why in skipped.items()]
    lines += ["", "## Machine", "", markdown_row(["", ""]), markdown_row(["---", "---"])]
    lines += [markdown_row(item) for item in machine.items()]
    return "\n".join(lines) + "\n"


def markdown_row(texts: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(texts)} |"
