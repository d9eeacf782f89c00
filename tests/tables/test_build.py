"""Tidy frames: columns, order, the paper's numbers, datasets, masks from attention."""

from __future__ import annotations

import math
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gta.errors import GtaError
from gta.study import Run, Study
from gta.tables import accuracy, read_reference, select, statistics
from tests.support.frames import metrics_frame

COLUMNS = [
    "table",
    "selection",
    "dataset",
    "source",
    "method",
    "mix",
    "rate",
    "lam",
    "tuned",
    "n",
    "acc1_mean",
    "acc1_std",
    "chosen_at",
    "missing",
]


def flat(run: Run) -> float:
    return 50.0 + run.seed


def chosen(study: Study, without: Container[Run] = ()) -> pd.DataFrame:
    """The choice of lambda where accuracies are flat."""
    return select(study, metrics_frame(study, flat, flat, without))


METHODS: dict[str, Any] = {
    **{name: {} for name in ("finetune", "l2_sp", "bss", "attention_only", "ffn_only")},
    "gta": {"grid": [1, 10]},
    **{name: {} for name in ("block_guide", "msa_guide")},
}


@pytest.fixture
def paper(root: Path, workdir: Path) -> Study:
    """The paper's study with small grids; results in an empty folder."""
    content = {
        "study": "paper_like",
        "datasets": ["cub", "cars"],
        "rates": [15, 100],
        "seeds": [0, 1],
        "sources": {"main": "ibot", "other_ssl": "dino", "supervised": "supervised"},
        "methods": METHODS,
        "recipe": {
            "architecture": "vit_small_patch16_224",
            "image_size": 224,
            "batch_size": 768,
            "iterations": 3000,
            "lr": 1.0e-4,
        },
        "tables": ["table1", "table2", "table3", "table4", "table5", "table6", "tableA1"],
        "segmentation": {"dataset": "voc12"},
        "tables_file": str(root / "config" / "tables.yaml"),
    }
    return Study(content)


def test_accuracy_has_the_contracts_columns_in_the_order_of_display(tiny_study: Study) -> None:
    table = accuracy(tiny_study, "table2", chosen(tiny_study))
    assert list(table.columns) == COLUMNS
    assert set(table["table"]) == {"table2"}
    methods = ["finetune", "l2_sp", "bss", "attention_only", "ffn_only", "gta"]
    expected = [
        (selection, dataset, method, rate)
        for selection in ("test", "heldout")
        for dataset in ("mini_near", "mini_far")
        for method in methods
        for rate in (15.0, 100.0)
    ]
    found = table[["selection", "dataset", "method", "rate"]]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert table["acc1_mean"].tolist() == [50.5] * len(table)
    assert table["acc1_std"].tolist() == pytest.approx([math.sqrt(0.5)] * len(table))
    assert (table["n"] == 2).all()


def test_the_order_of_rows_is_that_of_the_config(tiny_config: dict[str, Any]) -> None:
    tiny_config |= {"datasets": ["mini_far", "mini_near"], "rates": [100, 15]}
    study = Study(tiny_config | {"tables": ["table6"], "extra_methods": ["linear_probe"]})
    table = accuracy(study, "table6", chosen(study))
    own = table[table["selection"] == "test"]
    assert own["dataset"].drop_duplicates().tolist() == ["mini_far", "mini_near"]
    assert own["rate"].tolist()[:2] == [100, 15]
    assert own["source"].drop_duplicates().tolist() == ["tiny_supervised", "tiny_ibot"]
    assert "linear_probe" not in set(table["method"])  # table 6 takes no extra methods


def test_a_hole_stays_in_the_frame(tiny_study: Study) -> None:
    lost = Run("mini_far", 100.0, "tiny_ibot", "finetune", "none", 0.0, 1)
    table = accuracy(tiny_study, "table2", chosen(tiny_study, {lost}))
    holes = table[table["missing"] != ""]
    assert holes["selection"].tolist() == ["test", "heldout"]
    for hole in holes.to_dict("records"):
        assert (hole["dataset"], hole["method"], hole["rate"]) == ("mini_far", "finetune", 100)
        assert hole["missing"] == f"missing: `gta train {lost.name}`"
        assert hole["n"] == 1
        assert np.isnan([hole["acc1_mean"], hole["acc1_std"], hole["lam"]]).all()


def test_the_papers_numbers_stand_beside_ours(paper: Study) -> None:
    reference = read_reference(paper, "table5")
    table = accuracy(paper, "table5", chosen(paper), reference)
    names = ["paper_mean", "paper_std", "delta", "within"]
    assert [column for column in table.columns if column not in COLUMNS] == names
    assert reference is not None
    for row in table.to_dict("records"):
        own = reference[reference["table"] == "table5"]
        for field in ("dataset", "source", "method", "mix", "rate"):
            own = own[own[field] == row[field]]
        assert len(own) == 1
        np.testing.assert_equal([row["paper_mean"], row["paper_std"]], own.iloc[0, -2:].tolist())
        assert row["delta"] == pytest.approx(50.5 - row["paper_mean"])
        # two seeds, 50 and 51; the paper's table 5 gives no deviation
        assert row["within"] is bool(abs(row["delta"]) <= 2 * math.sqrt(0.5))


def test_each_table_of_the_paper_finds_all_its_reference_cells(paper: Study) -> None:
    selected = chosen(paper)
    for name in ("table2", "table3", "table5", "table6", "tableA1"):
        table = accuracy(paper, name, selected, read_reference(paper, name))
        assert table["paper_mean"].notna().all(), name


def test_the_papers_columns_are_absent_where_nothing_matches(tiny_study: Study) -> None:
    reference = read_reference(tiny_study, "table2")
    table = accuracy(tiny_study, "table2", chosen(tiny_study), reference)
    assert list(table.columns) == COLUMNS


def test_a_reference_that_cannot_be_read(tiny_config: dict[str, Any], workdir: Path) -> None:
    tables = Path(tiny_config["tables_file"]).read_text(encoding="utf-8")
    (workdir / "tables.yaml").write_text(tables, encoding="utf-8")
    reference = workdir / "reference" / "paper_accuracy.csv"
    reference.parent.mkdir()
    reference.write_bytes(b"\xff\xfe")
    line = r"table2.reference: reference/paper_accuracy.csv: cannot be read"
    with pytest.raises(GtaError, match=line):
        Study(tiny_config | {"tables_file": "tables.yaml"})


def counts(*datasets: str) -> list[dict[str, Any]]:
    return [
        {"dataset": name, "classes": 3, "train_images": 40, "test_images": 20} for name in datasets
    ]


def test_statistics(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"tables": ["table1", "table2"]})
    table = statistics(study, "table1", counts("mini_near"), read_reference(study, "table1"))
    columns = ["dataset", "classes", "train_images", "test_images", "missing"]
    assert list(table.columns) == columns
    assert table.iloc[0].tolist() == ["mini_near", 3, 40, 20, ""]
    assert table["classes"].isna().tolist() == [False, True]
    assert table["missing"].tolist() == [
        "",
        "mini_far: missing: not prepared: `gta data prepare mini_far`",
    ]


def test_statistics_beside_the_papers(paper: Study) -> None:
    reference = read_reference(paper, "table1")
    table = statistics(paper, "table1", counts("cub", "cars"), reference)
    assert table["paper_classes"].tolist() == [200, 196]
    assert table["paper_train_images"].tolist() == [5994, 8144]
    assert table["paper_test_images"].tolist() == [5794, 8041]
    assert table["delta_classes"].tolist() == [3 - 200, 3 - 196]
    assert table["delta_test_images"].tolist() == [20 - 5794, 20 - 8041]
