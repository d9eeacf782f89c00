"""Tables: lambda chosen by two rules, tidy frames beside the paper's numbers, four formats.

Snakemake imports this package for its kinds, so pandas and what needs it are imported when one of
the names below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gta.tables.collected import Collected, states_of_missing
    from gta.tables.files import lay_out, make, read_all, write
    from gta.tables.intervals import INTERVALS, compute_intervals, read_intervals, write_intervals
    from gta.tables.kinds import TableKind
    from gta.tables.kinds.accuracy import accuracy, accuracy_page
    from gta.tables.kinds.agreement import agreement, agreement_page
    from gta.tables.kinds.gains import gains, gains_page
    from gta.tables.kinds.optimism import optimism, optimism_page
    from gta.tables.kinds.segmentation import segmentation, segmentation_page
    from gta.tables.kinds.statistics import statistics, statistics_page
    from gta.tables.layout import Cell, Page, grid, title_of
    from gta.tables.reference import read_reference
    from gta.tables.render import to_html, to_latex, to_markdown
    from gta.tables.selection import ACCURACIES, gather, over_lambda, select

__all__ = [
    "ACCURACIES",
    "INTERVALS",
    "Cell",
    "Collected",
    "Page",
    "TableKind",
    "accuracy",
    "accuracy_page",
    "agreement",
    "agreement_page",
    "compute_intervals",
    "gains",
    "gains_page",
    "gather",
    "grid",
    "lay_out",
    "make",
    "optimism",
    "optimism_page",
    "over_lambda",
    "read_all",
    "read_intervals",
    "read_reference",
    "segmentation",
    "segmentation_page",
    "select",
    "states_of_missing",
    "statistics",
    "statistics_page",
    "title_of",
    "to_html",
    "to_latex",
    "to_markdown",
    "write",
    "write_intervals",
]

_HOMES = {
    "collected": (
        "Collected",
        "states_of_missing",
    ),
    "files": (
        "lay_out",
        "make",
        "read_all",
        "write",
    ),
    "intervals": (
        "INTERVALS",
        "compute_intervals",
        "read_intervals",
        "write_intervals",
    ),
    "kinds": ("TableKind",),
    "kinds.accuracy": (
        "accuracy",
        "accuracy_page",
    ),
    "kinds.agreement": (
        "agreement",
        "agreement_page",
    ),
    "kinds.gains": (
        "gains",
        "gains_page",
    ),
    "kinds.optimism": (
        "optimism",
        "optimism_page",
    ),
    "kinds.segmentation": (
        "segmentation",
        "segmentation_page",
    ),
    "kinds.statistics": (
        "statistics",
        "statistics_page",
    ),
    "layout": (
        "Cell",
        "Page",
        "grid",
        "title_of",
    ),
    "reference": ("read_reference",),
    "render": (
        "to_html",
        "to_latex",
        "to_markdown",
    ),
    "selection": (
        "ACCURACIES",
        "gather",
        "over_lambda",
        "select",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
