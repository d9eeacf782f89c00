"""Tables: lambda chosen by two rules, tidy frames beside the paper's numbers, four formats."""

from gta.tables.build import accuracy, statistics
from gta.tables.intervals import INTERVALS, compute_intervals, read_intervals, write_intervals
from gta.tables.kinds.agreement import agreement, agreement_page
from gta.tables.kinds.gains import gains, gains_page
from gta.tables.kinds.optimism import optimism, optimism_page
from gta.tables.kinds.segmentation import segmentation, segmentation_page
from gta.tables.layout import Page, accuracy_page, statistics_page
from gta.tables.make import Collected, lay_out, make, read_all, write
from gta.tables.reference import read_reference
from gta.tables.render import to_html, to_latex, to_markdown
from gta.tables.selection import ACCURACIES, gather, over_lambda, select

__all__ = [
    "ACCURACIES",
    "INTERVALS",
    "Collected",
    "Page",
    "accuracy",
    "accuracy_page",
    "agreement",
    "agreement_page",
    "compute_intervals",
    "gains",
    "gains_page",
    "gather",
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
    "statistics",
    "statistics_page",
    "to_html",
    "to_latex",
    "to_markdown",
    "write",
    "write_intervals",
]
