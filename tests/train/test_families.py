"""Backbones without [cls] and with rotary positions train end to end: files, runs, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gta import results
from gta.attention import segment
from gta.attention.maps import cls_maps
from gta.errors import GtaError
from gta.models.originals import prepare_source
from gta.models.trained import load_trained
from gta.study import Study
from gta.train import train_runs
from tests.support.samples import random_store, random_weights

SIDES = {
    "vit_mini_pooled_patch8": 16,
    "vit_mini_dinov3_patch8": 16,
    "swin_mini_patch4": 48,
    "gcvit_mini": 32,
}


def study_of(config: dict[str, Any], architecture: str, **changes: Any) -> Study:
    """Fine-tuning and GTA from a file of random weights in the architecture."""
    side = SIDES[architecture]
    recipe = {"architecture": architecture, "image_size": side, "batch_size": 4, "iterations": 2}
    stanza = {"title": "Mine", "architecture": architecture, "file": "mine.pth"}
    sources = {"main": "mine"}
    return Study(
        {
            **config,
            "datasets": ["mini_near"],
            "rates": [15],
            "seeds": [0],
            "own_sources": {"mine": stanza},
            "sources": sources,
            "methods": {"gta": {"grid": [10], "reduction": "mean"}},
            "recipe": {**config["recipe"], **recipe},
            "tables": ["table2", "table4"],
            "figures": [],
            "restrict": {},
            "keep_weights": "all",
            **changes,
        }
    )


@pytest.mark.parametrize("architecture", SIDES)
def test_they_train_and_their_attention_is_measured(
    architecture: str, tiny_config: dict[str, Any], workdir: Path
) -> None:
    study = study_of(tiny_config, architecture)
    side = SIDES[architecture]
    random_store(study.store("mini_near"), side)
    Path("data/weights").mkdir(parents=True)
    weights = random_weights(architecture, side)
    torch.save({"model": weights, "optimizer": {}}, "data/weights/mine.pth")
    prepare_source(study, "mine")
    runs = sorted(study.runs)
    assert {run.method for run in runs} == {"finetune", "gta"}
    train_runs(study, runs, "cpu")
    for run in runs:
        (row,) = results.read_part(study.run_files(run), "metrics").to_pylist()
        assert 0 < row["attention_mass"] < 1
        model = load_trained(study.run_files(run).weights, study.recipe(run), run.name)
        maps = cls_maps(model, torch.randn(2, 3, side, side))
        assert len(maps) == 2
        assert maps.isfinite().all()
    history = results.read_part(study.run_files(runs[-1]), "history").to_pylist()
    terms = [row["penalty"] for row in history]
    assert terms[0] < 1e-8 < terms[-1]  # rounding; two steps away from the source
    measured = segment(study).to_pylist()
    assert len(measured) == 3 * len(study.config.segmentation.measured)
    assert all(0 <= row["jaccard"] <= 1 for row in measured)


@pytest.mark.parametrize(
    ("architecture", "methods", "what"),
    [
        ("swin_mini_patch4", {"attention_kl": None}, r"attention_kl: reads \[cls\]"),
        ("gcvit_mini", {"spatial_entropy": None}, r"spatial_entropy: reads"),
        (
            "vit_mini_pooled_patch8",
            {"block_guide": {"tokens": "cls"}},
            r"block_guide: reads \[cls\], and vit_mini_pooled_patch8 has no",
        ),
        ("swin_mini_patch4", {"gta": {"rows": "all"}}, "rows: all is not for swin_mini_patch4"),
    ],
)
def test_methods_that_need_cls_are_refused_before_any_job(
    architecture: str, methods: dict[str, Any], what: str, tiny_config: dict[str, Any]
) -> None:
    with pytest.raises(GtaError, match=what) as raised:
        study_of(tiny_config, architecture, methods=methods, tables=["table2", "table3"])
    assert len([line for line in str(raised.value).splitlines() if "[cls]" in line]) <= 1
