"""Tidy frames: columns, order, the paper's numbers, data sets, masks from attention."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gta.errors import GtaError
from gta.study import Run, Study
from gta.tables import accuracy, read_reference, segmentation, statistics
from tests.frames import metrics_frame

COLUMNS = [
    "table",
    "selection",
    "dataset",
    "source",
    "method",
    "mix",
    "rate",
    "lam",
    "n",
    "acc1_mean",
    "acc1_std",
    "chosen_at",
    "missing",
]


def flat(run: Run) -> float:
    return 50.0 + run.seed


@pytest.fixture
def paper(root: Path, workdir: Path) -> Study:
    """The paper's study with small grids; results in an empty folder."""
    content = {
        "study": "paper_like",
        "datasets": ["cub", "cars"],
        "rates": [15, 100],
        "seeds": [0, 1],
        "sources": {"main": "ibot", "other_ssl": "dino", "supervised": "supervised"},
        "methods": {"gta": {"grid": [1, 10]}},
        "recipe": {
            "architecture": "vit_small_patch16_224",
            "image_size": 224,
            "batch_size": 768,
            "iterations": 3000,
            "lr": 1.0e-4,
        },
        "tables": ["table1", "table2", "table3", "table4", "table5", "table6", "tableA1"],
        "tables_file": str(root / "config" / "tables.yaml"),
    }
    return Study(content)


def test_accuracy_has_the_contracts_columns_in_the_order_of_display(tiny_study: Study) -> None:
    table = accuracy(tiny_study, "table2", metrics_frame(tiny_study, flat, flat))
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
    table = accuracy(study, "table6", metrics_frame(study, flat, flat))
    own = table[table["selection"] == "test"]
    assert own["dataset"].drop_duplicates().tolist() == ["mini_far", "mini_near"]
    assert own["rate"].tolist()[:2] == [100, 15]
    assert own["source"].drop_duplicates().tolist() == ["tiny_supervised", "tiny_ibot"]
    assert "linear_probe" not in set(table["method"])  # table 6 takes no extra methods


def test_a_hole_stays_in_the_frame(tiny_study: Study) -> None:
    lost = Run("mini_far", 100.0, "tiny_ibot", "finetune", "none", 0.0, 1)
    table = accuracy(tiny_study, "table2", metrics_frame(tiny_study, flat, flat, {lost}))
    holes = table[table["missing"] != ""]
    assert holes["selection"].tolist() == ["test", "heldout"]
    for hole in holes.to_dict("records"):
        assert (hole["dataset"], hole["method"], hole["rate"]) == ("mini_far", "finetune", 100)
        assert hole["missing"] == lost.name
        assert hole["n"] == 1
        assert np.isnan([hole["acc1_mean"], hole["acc1_std"], hole["lam"]]).all()


def test_the_papers_numbers_stand_beside_ours(paper: Study) -> None:
    metrics = metrics_frame(paper, flat, flat)
    reference = read_reference(paper, "table5")
    table = accuracy(paper, "table5", metrics, reference)
    names = ["paper_mean", "paper_std", "delta"]
    assert [column for column in table.columns if column not in COLUMNS] == names
    assert reference is not None
    for row in table.to_dict("records"):
        own = reference[reference["table"] == "table5"]
        for field in ("dataset", "source", "method", "mix", "rate"):
            own = own[own[field] == row[field]]
        assert len(own) == 1
        np.testing.assert_equal([row["paper_mean"], row["paper_std"]], own.iloc[0, -2:].tolist())
        assert row["delta"] == pytest.approx(50.5 - row["paper_mean"])


def test_each_table_of_the_paper_finds_all_its_reference_cells(paper: Study) -> None:
    metrics = metrics_frame(paper, flat, flat)
    for name in ("table2", "table3", "table5", "table6", "tableA1"):
        table = accuracy(paper, name, metrics, read_reference(paper, name))
        assert table["paper_mean"].notna().all(), name


def test_the_papers_columns_are_absent_where_nothing_matches(tiny_study: Study) -> None:
    metrics = metrics_frame(tiny_study, flat, flat)
    table = accuracy(tiny_study, "table2", metrics, read_reference(tiny_study, "table2"))
    assert list(table.columns) == COLUMNS


def test_a_reference_that_cannot_be_read(tiny_config: dict[str, Any], workdir: Path) -> None:
    tables = Path(tiny_config["tables_file"]).read_text(encoding="utf-8")
    (workdir / "tables.yaml").write_text(tables, encoding="utf-8")
    study = Study(tiny_config | {"tables_file": "tables.yaml"})
    with pytest.raises(GtaError, match=r"reference/paper_accuracy.csv: cannot be read.*table2"):
        read_reference(study, "table2")


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
    assert table["missing"].tolist() == ["", "data set mini_far (not prepared)"]


def test_statistics_beside_the_papers(paper: Study) -> None:
    reference = read_reference(paper, "table1")
    table = statistics(paper, "table1", counts("cub", "cars"), reference)
    assert table["paper_classes"].tolist() == [200, 196]
    assert table["paper_train_images"].tolist() == [5994, 8144]
    assert table["paper_test_images"].tolist() == [5794, 8041]


def measured_frame(study: Study, without: frozenset[Run] = frozenset()) -> pd.DataFrame:
    """Jaccard .2 plus a tenth of the seed, plus lambda; pre-trained .5."""
    rows: list[dict[str, Any]] = []
    measures = ("jaccard", "matched_jaccard", "attention_mass")
    for protocol, mass in (("sar", 0.6), ("ipvit", 0.9)):
        how = {"protocol": protocol, "mass": mass, "heads": "best", "ignore_void": False}
        for dataset in study.config.datasets:
            values = dict.fromkeys(measures, 0.5)
            rows.append({"source": "tiny_ibot", "evaluated_on": dataset, **how, **values})
        for run in sorted(study.runs_of("table4") - without):
            values = dict.fromkeys(measures, 0.2 + run.seed / 10 + run.lam / 100)
            rows.append({**vars(run), "evaluated_on": run.dataset, **how, **values})
    return pd.DataFrame(rows)


@pytest.fixture
def masks(tiny_config: dict[str, Any], workdir: Path) -> Study:
    return Study(tiny_config | {"datasets": ["mini_near"], "tables": ["table4"]})


def test_segmentation_takes_the_lambda_that_accuracy_chose(masks: Study) -> None:
    metrics = metrics_frame(masks, lambda run: -run.lam, lambda run: run.lam)
    table = segmentation(masks, "table4", metrics, measured_frame(masks))
    assert (table["missing"] == "").all()
    own = table[table["protocol"] == "ipvit"]
    keys = list(own[["selection", "model", "rate"]].fillna(0).itertuples(index=False, name=None))
    models = [("pretrained", 0), *((m, r) for m in ("finetune", "gta") for r in (15, 100))]
    assert keys == [(s, *model) for s in ("test", "heldout") for model in models]
    gta = own[(own["model"] == "gta") & (own["rate"] == 15)]
    assert gta["lam"].tolist() == [0.01, 1]
    # 100 * (.2 + .05 + lam / 100); deviation of the seeds' 0 and .1
    assert gta["jaccard"].tolist() == pytest.approx([25.01, 26])
    assert gta["attention_mass_std"].tolist() == pytest.approx([10 / math.sqrt(2)] * 2)
    assert gta["n"].tolist() == [2, 2]
    source = own[own["model"] == "pretrained"]
    assert source["matched_jaccard"].tolist() == [50, 50]
    assert source["matched_jaccard_std"].isna().all()
    assert "paper_jaccard" not in table


def test_segmentation_names_what_was_not_measured_or_run(masks: Study) -> None:
    unmeasured = Run("mini_near", 15.0, "tiny_ibot", "finetune", "none", 0.0, 1)
    unrun = Run("mini_near", 15.0, "tiny_ibot", "gta", "none", 1.0, 0)
    metrics = metrics_frame(masks, flat, flat, {unrun})
    measured = measured_frame(masks, frozenset({unmeasured}))
    table = segmentation(masks, "table4", metrics, measured[measured["method"].notna()])
    holes = table[table["missing"] != ""].drop_duplicates(["model", "rate"])
    assert holes["missing"].tolist() == [
        "tiny_ibot on the masks of mini_near (not measured)",
        f"{unmeasured.name} (missing: attention not measured)",
        unrun.name,
    ]
    assert holes[["jaccard", "matched_jaccard", "attention_mass"]].isna().all(axis=None)
    assert table.loc[table["missing"] == "", "jaccard"].notna().all()


def test_segmentation_without_any_measurement_is_all_holes(masks: Study) -> None:
    measured = measured_frame(masks).iloc[:0]
    table = segmentation(masks, "table4", metrics_frame(masks, flat, flat), measured)
    assert (table["missing"] != "").all()
    assert len(table) == 2 * 5


def test_segmentation_on_voc_stands_beside_the_papers(masks: Study) -> None:
    measured = measured_frame(masks)
    reference = read_reference(masks, "table4")
    metrics = metrics_frame(masks, flat, flat)
    elsewhere = segmentation(masks, "table4", metrics, measured, reference)
    assert "paper_jaccard" not in elsewhere
    voc = measured.assign(evaluated_on="voc12")
    table = segmentation(masks, "table4", metrics, voc, reference)
    assert set(table["evaluated_on"]) == {"voc12"}
    paper = table.drop_duplicates("model").set_index("model")["paper_jaccard"]
    assert paper.to_dict() == pytest.approx({"pretrained": 38.6, "finetune": 36.7, "gta": 39.9})
    delta = table["jaccard"] - table["paper_jaccard"]
    assert table["delta"].tolist() == pytest.approx(delta.tolist())
