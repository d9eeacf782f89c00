"""The table of masks from attention: which runs, holes, the paper's numbers, the page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from gta.study import Run, Study
from gta.tables import Page, read_reference, segmentation, segmentation_page, select, to_markdown
from gta.tables.layout import Cell
from tests.support.frames import acc1, measured_frame, metrics_frame
from tests.tables.test_build import chosen, flat


@pytest.fixture
def masks(tiny_config: dict[str, Any], workdir: Path) -> Study:
    return Study(tiny_config | {"datasets": ["mini_near"], "tables": ["table4"]})


def test_segmentation_takes_the_lambda_that_accuracy_chose(masks: Study) -> None:
    metrics = metrics_frame(masks, lambda run: -run.lam, lambda run: run.lam)
    table = segmentation(masks, "table4", select(masks, metrics), measured_frame(masks))
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
    table = segmentation(
        masks, "table4", select(masks, metrics), measured[measured["method"].notna()]
    )
    holes = table[table["missing"] != ""].drop_duplicates(["model", "rate"])
    assert holes["missing"].tolist() == [
        "tiny_ibot on the masks of mini_near: missing: attention not measured: `gta segmentation`",
        f"missing: attention not measured: {unmeasured.name}: `gta segmentation`",
        f"missing: `gta train {unrun.name}`",
    ]
    assert holes[["jaccard", "matched_jaccard", "attention_mass"]].isna().all(axis=None)
    assert table.loc[table["missing"] == "", "jaccard"].notna().all()


def test_segmentation_without_any_measurement_is_all_holes(masks: Study) -> None:
    measured = measured_frame(masks).iloc[:0]
    table = segmentation(masks, "table4", chosen(masks), measured)
    assert (table["missing"] != "").all()
    assert len(table) == 2 * 2 * 5  # selections, protocols of the config, models


def test_segmentation_on_voc_stands_beside_the_papers(masks: Study) -> None:
    measured = measured_frame(masks)
    reference = read_reference(masks, "table4")
    metrics = metrics_frame(masks, flat, flat)
    elsewhere = segmentation(masks, "table4", select(masks, metrics), measured, reference)
    assert "paper_jaccard" not in elsewhere
    voc = measured.assign(evaluated_on="voc12")
    table = segmentation(masks, "table4", select(masks, metrics), voc, reference)
    assert set(table["evaluated_on"]) == {"voc12"}
    paper = table.drop_duplicates("model").set_index("model")["paper_jaccard"]
    assert paper.to_dict() == pytest.approx({"pretrained": 38.6, "finetune": 36.7, "gta": 39.9})
    delta = table["jaccard"] - table["paper_jaccard"]
    assert table["delta"].tolist() == pytest.approx(delta.tolist())
    gta = table[table["model"] == "gta"]
    inside = gta["delta"].abs() <= 2 * gta["jaccard_std"]
    assert gta["within"].tolist() == inside.tolist()
    assert table.loc[table["model"] == "pretrained", "within"].isna().all()
    text = to_markdown(segmentation_page(masks, "table4", table))
    assert "within 2 pooled standard deviations" in text
    assert " ≉ |" in text


def test_segmentation_page(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"datasets": ["mini_near"], "tables": ["table4"]})
    metrics = metrics_frame(study, acc1, acc1)
    table = segmentation(study, "table4", select(study, metrics), measured_frame(study))
    page = segmentation_page(study, "table4", table)
    cells = page.blocks[0][1]
    measures = ["Jaccard, sar", "Jaccard, ipvit", "Matched Jaccard", "Attention mass"]
    choices = ["λ by test accuracy", "λ by held-out accuracy"]
    assert cells.columns.tolist() == [(choice, name) for choice in choices for name in measures]
    assert cells.index.tolist() == [
        ("Mini near", "Pre-trained", ""),
        *(("Mini near", m, r) for m in ("Fine-tuning", "GTA") for r in ("15 %", "100 %")),
    ]
    lines = cells.to_numpy().tolist()
    gta: list[Cell] = lines[3]
    assert [cell.lam for cell in gta][:2] == pytest.approx([0.1, float("nan")], nan_ok=True)
    assert gta[0].mean == pytest.approx(25.1)
    assert [line[0].best for line in lines] == [True, False, False, False, False]
    assert any("hold 60 % of a head's attention" in remark for remark in page.remarks)


def test_masks_of_another_data_set_are_named_with_their_view(tiny_config: dict[str, Any]) -> None:
    settings = {"dataset": "voc12", "protocols": ["sar"]}
    study = Study(tiny_config | {"tables": ["table4"], "segmentation": settings})
    voc = measured_frame(study).assign(evaluated_on="voc12")
    metrics = metrics_frame(study, acc1, acc1)
    table = segmentation(study, "table4", select(study, metrics), voc)
    page = segmentation_page(study, "table4", table)
    assert page.blocks[0][1].index.names[:2] == ["Masks of", "Dataset"]
    assert any("480 x 480 pixels" in remark for remark in page.remarks)
    assert not any("480" in remark for remark in own_masks(study).remarks)


def own_masks(study: Study) -> Page:
    """The page of the same study on each dataset's own masks."""
    config = study.content | {"segmentation": {"protocols": ["sar"]}}
    own = Study(config)
    metrics = metrics_frame(own, acc1, acc1)
    table = segmentation(own, "table4", select(own, metrics), measured_frame(own))
    return segmentation_page(own, "table4", table)
