"""A metric from outside the package: one file, which training, results and a table then know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gta import results
from gta.errors import GtaError
from gta.results import metrics
from gta.results.columns import FLOAT, Column
from gta.study import Study
from gta.tables.collected import Collected, table_kind
from gta.train import train_runs
from tests.support.left import finish
from tests.train.runs import run_of

TABLE = """

from gta.study.run import CELL, POINT
from gta.tables.kinds import TableKind


class Confidence(TableKind):
    name = "confidence"
    metrics = ("confidence",)

    def frame(self, study, name, collected):
        cells = collected.metrics.groupby([*CELL, *POINT])["confidence"].mean().reset_index()
        return cells.assign(table=name, selection="test", missing="")

    def page(self, study, name, frame):
        from gta.tables.layout import Page

        return Page(name, name, "")
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Stanzas of a table whose kind reads the metric that the manual gives as its example."""
    text = inspect.getdoc(metrics)
    assert text is not None
    lines = [line for line in text.splitlines() if line.startswith("    ") or not line]
    file = tmp_path / "confidence.py"
    file.write_text(inspect.cleandoc("\n".join(lines)) + TABLE, encoding="utf-8")
    cells = [{"source": ["main"], "method": ["finetune"], "rate": [15]}]
    stanza = {"kind": "confidence", "title": "Confidence", "caption": "Mean.", "cells": cells}
    yield {
        "own_kinds": {"confidence": {"file": str(file)}},
        "own_tables": {"confidence": stanza},
    }
    metrics.remove("confidence")


def test_it_is_computed_collected_and_in_the_table(
    make_study: Callable[..., Study], config: dict[str, Any]
) -> None:
    study = make_study(**config)
    run, older = run_of(study), run_of(study, seed=1)
    train_runs(study, [run], "cpu")
    row = pq.ParquetFile(study.run_files(run).metrics).read().to_pylist()[0]
    answers = results.read_part(study.run_files(run), "predictions").to_pandas()
    expected = answers.loc[answers["split"] == "test", "confidence"].mean()
    assert row["confidence"] == pytest.approx(expected, rel=1e-6)
    finish(study, older)  # which has none: null, and the run is done
    assert results.state_of(study.run_files(older)).state == "done"
    table, _ = results.collect_metrics(study, lambda run: None)
    assert table["confidence"].null_count == 1
    results.write_collected(study, table)
    frame = table_kind(study, "confidence").frame(study, "confidence", Collected(study))
    own = frame[(frame["method"] == "finetune") & (frame["rate"] == 15)]
    assert own["confidence"].tolist() == [row["confidence"]]


def test_metrics_of_before_it_was_added_are_read(
    make_study: Callable[..., Study], config: dict[str, Any]
) -> None:
    study = make_study(**config)
    added = next(one for one in metrics.metrics() if one.column.name == "confidence")
    metrics.remove("confidence")
    finish(study, run_of(study))
    results.write_collected(study, results.collect_metrics(study, lambda run: None)[0])
    metrics.metric(added.column)(added.compute)
    assert results.read_collected(study, "acc1", "confidence")["confidence"].isna().all()


def test_a_value_out_of_range_is_an_error_of_the_run(make_study: Callable[..., Study]) -> None:
    study = make_study()
    metrics.metric(Column("broken", FLOAT, "", nullable=True, low=0))(lambda outcome: -1.0)
    try:
        with pytest.raises(GtaError, match=r"metric broken is -1, outside \[0, inf\]"):
            train_runs(study, [run_of(study)], "cpu")
    finally:
        metrics.remove("broken")


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (Column("acc1", FLOAT, "", nullable=True), "is a metric of the package"),
        (Column("mine", FLOAT, ""), "must be nullable"),
    ],
)
def test_a_column_that_cannot_be_added(column: Column, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        metrics.metric(column)
