"""Stanzas of tables and figures: ``config/tables.yaml``, ``own_tables`` and ``own_figures``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gta.study.run import CELL
from gta.study.values import Name, Rate, Strict, Title


def _fields_of_cells(values: list[str]) -> list[str]:
    for field in values:
        if field not in CELL:
            raise ValueError(
                f"{field!r} is not a field of a cell: {', '.join(CELL)} (λ is chosen within a "
                "cell, and its number is over all seeds)"
            )
    return values


CellFields = Annotated[list[str], AfterValidator(_fields_of_cells)]


End = Literal["lowest", "highest"]


class Cells(Strict):
    """A product of runs.

    Sources are named by role; ``all`` means all that the study has, ``lowest`` and ``highest``
    the ends of its rates.
    """

    source: list[str]
    method: list[str]
    mix: list[str] = ["none"]
    rate: Annotated[list[Rate | End], Field(min_length=1)] | Literal["all"] = "all"


class TableSpec(Strict):
    """The stanza of a table or a figure: the runs it needs and how its cells are laid out.

    Attributes:
        kind: name of its kind: a file in ``gta/tables/kinds`` or ``gta/figures/kinds``, or one of
            the config's ``own_kinds``.
        cells: runs that it needs, each with all lambdas of its method and all seeds.
        extra: whether the config's ``extra_methods`` join its methods.
        rows, columns, groups: fields of a cell that make up rows, columns, blocks.
        baseline: for ``gains``: the method, one of the cells', that the others are compared with.
        reference: name under which ``config/reference`` holds the paper's numbers.
        recipe: recipe keys of its own for all of its runs.
        weights: whether it needs the trained weights; default: what its kind needs.
    """

    kind: Name
    title: Title
    caption: Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]
    cells: list[Cells] = []
    extra: bool = False
    rows: CellFields = []
    columns: CellFields = []
    groups: CellFields = []
    baseline: str | None = None
    reference: str | None = None
    recipe: dict[str, Any] = {}
    weights: bool | None = None


class Declarations(Strict):
    """The whole of ``tables.yaml``."""

    tables: Annotated[dict[Name, TableSpec], Field(min_length=1)]
    figures: dict[Name, TableSpec] = {}
