"""Tables: lambda chosen by two rules, tidy frames beside the paper's numbers, four formats."""

from gta.tables.build import accuracy, read_reference, segmentation, statistics
from gta.tables.files import make, write
from gta.tables.gains import gains, gains_page
from gta.tables.layout import Page, accuracy_page, segmentation_page, statistics_page
from gta.tables.render import to_html, to_latex, to_markdown
from gta.tables.selection import gather, over_lambda, select

__all__ = [
    "Page",
    "accuracy",
    "accuracy_page",
    "gains",
    "gains_page",
    "gather",
    "make",
    "over_lambda",
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
]
