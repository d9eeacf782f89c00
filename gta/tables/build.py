"""Tidy frames of accuracies and of the data sets: one row a cell, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from gta.study import Study
from gta.study.commands import command
from gta.study.run import CELL
from gta.tables.intervals import GAIN, with_gains
from gta.tables.order import cells_of, in_order
from gta.tables.reference import within

COUNTS = ["classes", "train_images", "test_images"]


def accuracy(
    study: Study,
    name: str,
    selected: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A table of accuracies.

    Args:
        study: the study.
        name: of the table.
        selected: as ``gta.tables.select`` gives it.
        reference: the paper's: table, dataset, source, method, mix, rate, acc1_mean, acc1_std.
        intervals: of the gains over fine-tuning, of the schema ``gta.tables.INTERVALS``.

    Returns:
        A row for each selection and cell, in the order of display: ``table, selection, dataset,
        source, method, mix, rate, lam, n, acc1_mean, acc1_std``; where a cell is the paper's,
        ``paper_mean, paper_std, delta`` and ``within`` (whether ``delta`` lies within two pooled
        deviations; see ``gta.tables.reference.pooled_std``); with intervals, ``gain, gain_low,
        gain_high``; ``chosen_at`` (rate at which lambda was chosen) and ``missing`` (why a cell
        is a hole and what to run, else empty). Accuracies in percent, deviations with ddof 1,
        ``delta`` ours less the paper's.
    """
    table = cells_of(study, name).merge(selected, on=CELL, how="left")
    table = in_order(study, name, table.assign(table=name))
    identity = ["table", "selection", "dataset", "source", "method", "mix", "rate"]
    columns = [*identity, "lam", "n", "acc1_mean", "acc1_std"]
    if reference is not None:
        keys = ["table", *CELL]
        paper = reference.rename(columns={"acc1_mean": "paper_mean", "acc1_std": "paper_std"})
        paper = paper[[*keys, "paper_mean", "paper_std"]].astype({"rate": float})
        joined = table.merge(paper, on=keys, how="left", validate="many_to_one")
        if joined["paper_mean"].notna().any():
            table = joined.assign(delta=joined["acc1_mean"] - joined["paper_mean"])
            table["within"] = within(
                table["delta"], table["acc1_std"], table["n"], table["paper_std"]
            )
            columns += ["paper_mean", "paper_std", "delta", "within"]
    if intervals is not None:
        table = with_gains(table, selected, intervals)
        columns += GAIN
    return table[[*columns, "chosen_at", "missing"]]


def statistics(
    study: Study,
    name: str,
    counts: Iterable[Mapping[str, Any]],
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A table of the data sets.

    Args:
        study: the study.
        name: of the table.
        counts: dataset, classes, train_images and test_images of each prepared data set.
        reference: the paper's, of the same columns.

    Returns:
        A row for each of the study's data sets: ``dataset, classes, train_images, test_images``;
        where one is the paper's, ``paper_`` and ``delta_`` (ours less the paper's) of each
        count; and ``missing``.
    """
    found = pd.DataFrame(list(counts), columns=["dataset", *COUNTS])
    table = pd.DataFrame({"dataset": study.config.datasets}).merge(found, "left", on="dataset")
    absent = table["classes"].isna()
    how = f": missing: not prepared: `{command(study, 'data prepare')} "
    table["missing"] = (table["dataset"] + how + table["dataset"] + "`").where(absent, "")
    columns = ["dataset", *COUNTS]
    if reference is not None:
        paper = reference.set_index("dataset")[COUNTS].add_prefix("paper_").reset_index()
        joined = table.merge(paper, "left", on="dataset", validate="one_to_one")
        if joined["paper_classes"].notna().any():
            table = joined
            for count in COUNTS:
                table[f"delta_{count}"] = table[count] - table[f"paper_{count}"]
            columns += [f"{what}_{count}" for what in ("paper", "delta") for count in COUNTS]
    table = table.astype(dict.fromkeys(columns[1:], "Int64"))
    return table[[*columns, "missing"]]
