"""``TableKind``, the base class of all kinds of tables, and how to write one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from gta.study.kinds import Kind, Place

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Page


class TableKind(Kind, ABC):
    """A kind of table: what it is made of, its numbers, and how they are laid out.

    A kind is a class in a file of its own::

        from gta.study.run import CELL, POINT
        from gta.tables.kinds import TableKind


        class Spread(TableKind):
            name = "spread"

            def frame(self, study, name, collected):
                from gta.tables.order import cells_of, in_order

                cell = ["selection", *CELL, *POINT]
                chosen = cells_of(study, name).merge(collected.selected)[cell]
                seeds = chosen.merge(collected.metrics).groupby(cell)["acc1"]
                table = (seeds.max() - seeds.min()).reset_index(name="spread")
                return in_order(study, name, table.assign(table=name, missing=""))

            def page(self, study, name, frame):
                from gta.tables.layout import Cell, Page, grid

                spec = study.specs[name]
                page = Page(name, spec.title, spec.caption)
                spread = {"": lambda row: Cell(row.spread, lam=row.lam)}
                across = ["selection", *spec.columns]
                cells = grid(study, frame, spec.rows, across, spread)
                page.blocks.append(("", cells))
                return page

    **Where it goes.** Inside the package: a file in ``gta/tables/kinds/`` is found by itself.
    Outside: any file, named in the config (the path is relative to that config file), beside the
    stanza of a table that uses it::

        own_kinds:
          spread: {file: kinds/spread.py}
        own_tables:
          spread:
            kind: spread
            title: Spread over seeds
            caption: Highest less lowest top-1 accuracy (%).
            rows: [method]
            columns: [rate]
            cells: [{source: [main], method: [finetune, gta]}]

    The file is imported when the config is read, so only name files that you trust. After an edit
    the tables of its kinds are written again; no run is trained again.

    **No pandas at the top of the file.** Snakemake and every ``gta`` command read the kinds;
    import pandas and the modules of ``gta.tables`` inside the methods.

    **The frame** is tidy, one row a cell, and is written as CSV. Columns that other parts read:
    ``selection`` (how lambda was chosen: ``gta table --selection``), the fields of a cell
    (``dataset, source, method, mix, rate``; the page filters by them) and ``missing`` (why a cell
    is empty and the command that fills it, else an empty string). ``gta.tables.selection``
    chooses lambdas, ``gta.tables.order.in_order`` sorts as the config does.

    **The page** is what readers see: blocks of ``Cell`` with notes and remarks, from which
    Markdown, LaTeX and HTML are rendered. It depends on the frame and the study alone, because a
    part of the frame may be laid out.

    Attributes:
        name: ``kind:`` in stanzas: letters, digits and ``_ . -``.
        inputs: files it is made of (``gta.study.kinds.Input``); the workflow makes them first.
        cells: whether its stanza lists runs (``cells:``); without, it sums up the study.
        weights: whether it needs the trained weights of its runs.
        metrics: columns of ``collected.metrics`` that it reads, beside accuracies and attention
            mass. ``gta.results.metrics`` says how to add one.
        number: columns of the frame with the number of a cell and its ±, for ``gta rerun``;
            None where a row is not a cell of the study.
        unnamed: how the page calls a number that has no heading of its own; default: the title.
    """

    place: ClassVar[Place] = "tables"
    number: ClassVar[tuple[str, str] | None] = None
    unnamed: ClassVar[str] = ""

    @abstractmethod
    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """Compute the numbers of a table.

        Args:
            study: the study.
            name: of the table.
            collected: what the study's runs have left; read when it is asked for.

        Raises:
            GtaError: if a file that it is made of is missing or damaged.
        """

    @abstractmethod
    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """Lay out what ``frame`` returns, or some of its rows."""

    def summary(self, study: Study, name: str, frame: pd.DataFrame) -> list[str]:
        """Sentences for the head of the results page; none by default."""
        return []
