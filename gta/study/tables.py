"""What a table or figure is made of, as ``config/tables.yaml`` declares it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gta.study.config import Name, Rate, Strict
from gta.study.run import RUN_FIELDS

FIGURE_KINDS = ("maps", "masks", "lambda")
CELLLESS_KINDS = ("statistics", "agreement", "optimism")  # need no runs of their own


class Cells(Strict):
    """A product of runs. Sources are named by role; ``all`` means all that the study has."""

    source: list[str]
    method: list[str]
    mix: list[str] = ["none"]
    rate: list[Rate] | Literal["all"] = "all"


class TableSpec(Strict):
    """A table or a figure: the runs it needs and how its cells are laid out.

    Attributes:
        kind: ``statistics`` (of the data sets), ``accuracy``, ``segmentation`` (masks from
            attention), ``gains`` (over a baseline, with intervals), ``agreement`` (of the
            study's tables of accuracy with the paper's), ``optimism`` (of lambdas chosen on
            the test set), or for figures ``maps``, ``masks``, ``lambda``.
        cells: runs that it needs, each with all lambdas of its method and all seeds.
        extra: whether the config's ``extra_methods`` join its methods.
        rows, columns, groups: fields of a run that make up rows, columns, blocks.
        baseline: for ``gains``: the method, one of the cells', that the others are held against.
        reference: name under which ``config/reference`` holds the paper's numbers.
        recipe: recipe keys of its own for all of its runs.
    """

    kind: Literal[
        "statistics",
        "accuracy",
        "gains",
        "segmentation",
        "agreement",
        "optimism",
        "maps",
        "masks",
        "lambda",
    ]
    title: str
    caption: str
    cells: list[Cells] = []
    extra: bool = False
    rows: list[str] = []
    columns: list[str] = []
    groups: list[str] = []
    baseline: str | None = None
    reference: str | None = None
    recipe: dict[str, Any] = {}
    weights: bool = Field(default=False, description="whether it needs the trained weights")

    @model_validator(mode="after")
    def _has_cells(self) -> TableSpec:
        if bool(self.cells) == (self.kind in CELLLESS_KINDS):
            verb = "takes no" if self.cells else "needs"
            raise ValueError(f"kind {self.kind} {verb} cells")
        return self

    @model_validator(mode="after")
    def _has_baseline(self) -> TableSpec:
        methods = {method for cells in self.cells for method in cells.method}
        if self.kind == "gains" and self.baseline not in methods:
            raise ValueError(f"baseline: {self.baseline!r} is not one of the table's methods")
        return self

    @model_validator(mode="after")
    def _known_fields(self) -> TableSpec:
        for field in (*self.rows, *self.columns, *self.groups):
            if field not in RUN_FIELDS:
                raise ValueError(f"{field!r} is no field of a run: {', '.join(RUN_FIELDS)}")
        return self


class Declarations(Strict):
    """The whole of ``tables.yaml``."""

    tables: Annotated[dict[Name, TableSpec], Field(min_length=1)]
    figures: dict[Name, TableSpec] = {}

    @model_validator(mode="after")
    def _each_in_its_place(self) -> Declarations:
        for place, specs in (("tables", self.tables), ("figures", self.figures)):
            for name, spec in specs.items():
                if (spec.kind in FIGURE_KINDS) != (place == "figures"):
                    raise ValueError(f"{name}: kind {spec.kind} does not belong under {place}")
        for name in self.tables.keys() & self.figures.keys():
            raise ValueError(f"{name!r} is declared as a table and as a figure; rename one")
        return self
