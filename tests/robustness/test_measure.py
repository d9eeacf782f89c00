"""Finished runs on corrupted images: numbers, keeping, table and figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gta import robustness
from gta.data import store as stores
from gta.data.batches.augment import Evaluator
from gta.figures.kinds.severity import Severity
from gta.models.vit import create
from gta.robustness import aurra, corrupt
from gta.robustness import measure as measuring
from gta.study import Study
from gta.tables.collected import Collected, table_kind
from gta.tables.kinds.robustness import relative_corruption_error
from tests.support.frames import metrics_frame

CORRUPTIONS, SEVERITIES, TEST = ["gaussian_noise", "pixelate"], [2, 5], 6


def small_vit(seed: int) -> Any:
    torch.manual_seed(seed)
    return create("vit_mini_patch8", 48, num_classes=2)


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """One dataset with masks, two methods, two seeds, and the weights of all runs but one."""
    tiny_config |= {
        "datasets": ["mini_near"],
        "rates": [15],
        "methods": {"gta": {"grid": [1]}},
        "robustness": {"corruptions": CORRUPTIONS, "severities": SEVERITIES, "images": 4},
        "tables": ["tableX2"],
        "figures": ["figureX2"],
    }
    study = Study(tiny_config)
    rng = np.random.default_rng(0)
    splits = ["test"] * TEST + ["train"] * 8
    items = [
        stores.Item(
            f"{split}/{i}",
            i % 2,
            split,
            rng.integers(0, 256, (48, 48, 3), np.uint8),
            mask=np.arange(48 * 48).reshape(48, 48) % 48 < 12,
        )
        for i, split in enumerate(splits)
    ]
    stores.write(study.store("mini_near"), "mini_near", ["a", "b"], items)
    for seed, run in enumerate(study.runs[:-1]):
        weights = study.run_files(run).weights
        weights.parent.mkdir(parents=True)
        owner = {"run": run.name, "recipe_digest": study.digest(run)}
        save_file(small_vit(seed).state_dict(), weights, metadata=owner)
    return study


def test_numbers_are_those_of_the_runs_own_model(study: Study) -> None:
    rows = robustness.measure_robustness(study).to_pylist()
    assert len(rows) == 3 * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    model, store = small_vit(1), stores.Store(study.store("mini_near"))
    test = store.indices("test")[[0, 2, 3, 5]]  # four of six, evenly
    images = [corrupt(image, "pixelate", 5) for image in store.images(test)]
    evaluator = Evaluator(study.recipe(study.runs[1]))
    with torch.inference_mode():
        confidence, prediction = model.eval()(evaluator(images)).softmax(1).max(1)
    correct = prediction.numpy() == store.labels[test]
    (row,) = [
        row
        for row in rows
        if (row["seed"], row["method"]) == (study.runs[1].seed, study.runs[1].method)
        and (row["corruption"], row["severity"]) == ("pixelate", 5)
    ]
    assert row["n_images"] == 4
    assert row["acc1"] == pytest.approx(100 * correct.mean())
    assert row["aurra"] == pytest.approx(aurra(confidence.numpy(), correct))
    assert 0 < row["attention_mass"] < 1


def test_what_was_measured_is_kept_until_the_settings_change(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = robustness.measure_robustness(study)
    monkeypatch.setattr(measuring, "evaluate_each", None)
    assert robustness.measure_robustness(study).equals(first)
    other = Study({**study.content, "robustness": {"images": 2, "severities": [1]}})
    with pytest.raises(TypeError):
        robustness.measure_robustness(other)


def test_table_and_figure(study: Study) -> None:
    table = robustness.measure_robustness(study)
    robustness.write(study, table)
    frame = table.to_pandas()
    metrics = metrics_frame(study, lambda run: 60.0, lambda run: 50.0)
    collected = Collected(study, metrics=metrics, states={})
    kind = table_kind(study, "tableX2")
    found = kind.frame(study, "tableX2", collected)
    tuned, hole = found[found["selection"] == "heldout"].to_dict("records")
    assert tuned["relative_error"] == 100
    runs = frame[frame["method"] == "finetune"]
    assert tuned["clean_acc1"] == pytest.approx(runs[runs["severity"] == 0]["acc1"].mean())
    assert tuned["corrupted_acc1"] == pytest.approx(runs[runs["severity"] > 0]["acc1"].mean())
    assert np.isnan(hole["corrupted_acc1"])
    assert "not tested on corrupted images" in hole["missing"]
    assert "`gta robustness" in hole["missing"]
    page = kind.page(study, "tableX2", found)
    assert "mCE" in page.blocks[0][1].columns.get_level_values(-1)
    points = Severity().content(study, "figureX2", collected)
    assert list(points[points["method"] == "Fine-tuning"]["severity"]) == [0, 2, 5]
    Severity().draw(study, "figureX2", points)


def test_errors_relative_to_a_reference() -> None:
    errors = pd.Series({"fog": 30.0, "snow": 50.0})
    assert relative_corruption_error(errors, pd.Series({"fog": 60.0, "snow": 50.0})) == 75
    assert np.isnan(relative_corruption_error(errors, pd.Series({"fog": 0.0, "snow": 50.0})))
