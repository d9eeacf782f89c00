"""Stanzas of tables and figures: ``config/tables.yaml``, ``own_tables`` and ``own_figures``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gta.study.run import CELL
from gta.study.values import RUNS, SHOWS, TRAINS, WEIGHTS, Name, Rate, Strict, Title, distinct


def _fields_of_cells(values: list[str]) -> list[str]:
    for field in values:
        if field not in CELL:
            raise ValueError(
                f"{field!r} is not a field of a cell: {', '.join(CELL)} (λ is chosen within a "
                "cell, and its number is over all seeds)"
            )
    return values


CellFields = Annotated[list[str], AfterValidator(_fields_of_cells), AfterValidator(distinct)]


End = Literal["lowest", "highest"]


class Cells(Strict):
    """A product of runs.

    Attributes:
        source: roles of the config's ``sources``.
        method: names.
        mix: names; ``none`` is the recipe's ``base_mix``.
        rate: percentages, those among them that the study has; ``lowest`` and ``highest`` are the
            ends of its rates, ``all`` all of them.
    """

    source: Annotated[list[str], Field(min_length=1)]
    method: Annotated[list[str], Field(min_length=1)]
    mix: Annotated[list[str], Field(min_length=1)] = ["none"]
    rate: Annotated[list[Rate | End], Field(min_length=1)] | Literal["all"] = "all"


class TableSpec(Strict):
    """The stanza of a table or a figure: the runs it needs and how its cells are laid out.

    Attributes:
        kind: name of its kind: a file in ``gta/tables/kinds`` or ``gta/figures/kinds``, or one of
            the config's ``own_kinds``.
        title: its heading.
        caption: what it shows, in a sentence.
        cells: runs that it needs, each with all lambdas of its method and all seeds.
        extra: whether the config's ``extra_methods`` join its methods.
        rows: fields of a cell that make up rows: ``dataset``, ``source``, ``method``, ``mix``,
            ``rate``.
        columns: fields of a cell that make up columns.
        groups: fields of a cell that make up blocks.
        baseline: for ``gains`` and ``robustness``: the method, one of the cells', that the others
            are compared with.
        reference: name under which ``config/reference`` holds the paper's numbers.
        recipe: recipe keys of its own for all of its runs.
        weights: whether it needs the trained weights of its runs; ``null``: what its kind needs.
    """

    kind: Annotated[Name, SHOWS]
    title: Annotated[Title, SHOWS]
    caption: Annotated[str, AfterValidator(lambda text: " ".join(text.split())), SHOWS]
    cells: list[Cells] = []
    extra: bool = False
    rows: Annotated[CellFields, SHOWS] = []
    columns: Annotated[CellFields, SHOWS] = []
    groups: Annotated[CellFields, SHOWS] = []
    baseline: Annotated[str | None, SHOWS] = None
    reference: Annotated[str | None, SHOWS] = None
    recipe: Annotated[dict[str, Any], TRAINS] = {}
    weights: Annotated[bool | None, WEIGHTS] = None

    @model_validator(mode="after")
    def _axes_apart(self) -> TableSpec:
        axes = [*self.groups, *self.rows, *self.columns]
        for field in axes:
            if axes.count(field) > 1:
                raise ValueError(f"{field!r} stands in two of groups, rows and columns")
        return self


class Declarations(Strict):
    """The whole of ``tables.yaml``.

    Attributes:
        tables: stanzas by name.
        figures: stanzas by name.
    """

    tables: Annotated[dict[Name, TableSpec], Field(min_length=1), RUNS]
    figures: Annotated[dict[Name, TableSpec], RUNS] = {}
