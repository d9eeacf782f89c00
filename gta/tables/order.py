"""The cells of a table and their order."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gta.catalog import MIXES
from gta.study import Study, TableSpec
from gta.study.run import CELL
from gta.tables.selection import SELECTIONS

PRETRAINED = "pretrained"  # a source before fine-tuning, as the reference file names it


def cells_of(study: Study, name: str) -> pd.DataFrame:
    """The cells of a table or figure, each once."""
    return pd.DataFrame(study.cells_of(name), columns=CELL)


def order_of(study: Study, name: str) -> dict[str, list[Any]]:
    """The order in which the values of a field stand in a table: that of the config.

    A table without cells of its own takes methods as the catalog has them.
    """
    spec: TableSpec = study.specs[name]
    methods = [method for cells in spec.cells for method in cells.method] or list(study.methods)
    every = list(dict.fromkeys([*methods, *study.config.extra_methods, *study.methods]))
    roles = [role for cells in spec.cells for role in cells.source] or list(study.config.sources)
    sources = [study.config.sources[role] for role in roles]
    return {
        "selection": list(SELECTIONS),
        "dataset": study.config.datasets,
        "evaluated_on": study.config.datasets,
        "source": list(dict.fromkeys(sources)),
        "method": every,
        "model": [PRETRAINED, *every],
        "mix": list(MIXES),
        "rate": study.config.rates,
    }


def in_order(study: Study, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Sort a tidy frame's rows as ``order_of`` says."""
    order = order_of(study, name)
    fields = ["selection", "evaluated_on", "dataset", "source", "method", "model", "mix", "rate"]
    by = [field for field in fields if field in table]
    ranks = table[by].apply(lambda column: column.map(_ranks(order[str(column.name)])))
    return table.loc[ranks.sort_values(by, kind="stable", na_position="first").index].reset_index(
        drop=True
    )


def _ranks(values: list[Any]) -> dict[Any, int]:
    return {value: rank for rank, value in enumerate(values)}
