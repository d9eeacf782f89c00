"""Averages of weights: their ends and middle, what is measured of them, and the figure."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gta import averages
from gta.averages import interpolate, measure, soup
from gta.data import store as stores
from gta.data.batches.augment import Evaluator
from gta.errors import GtaError
from gta.figures.kinds.interpolation import Interpolation
from gta.models.vit import create
from gta.study import Study
from gta.tables.collected import Collected
from tests.support.frames import metrics_frame

TEST = 6


def small_vit(seed: int) -> Any:
    torch.manual_seed(seed)
    return create("vit_mini_patch8", 48, num_classes=2)


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """One dataset with masks, the probe and two methods, two seeds; one run lacks its weights."""
    tiny_config["recipe"]["head_init_std"] = 0.0
    tiny_config |= {
        "datasets": ["mini_near"],
        "rates": [15],
        "methods": {"gta": {"grid": [1]}},
        "extra_methods": ["linear_probe"],
        "tables": [],
        "figures": ["figureX3"],
    }
    study = Study(tiny_config)
    rng = np.random.default_rng(0)
    splits = ["test"] * TEST + ["heldout"] * 3 + ["train"] * 8
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
    for number, run in enumerate(study.runs):
        if (run.method, run.seed) == ("gta", 1):
            continue
        weights = study.run_files(run).weights
        weights.parent.mkdir(parents=True)
        owner = {"run": run.name, "recipe_digest": study.digest(run)}
        save_file(small_vit(number).state_dict(), weights, metadata=owner)
    return study


def test_ends_and_middle_of_two_models() -> None:
    one, other = (small_vit(seed).state_dict() for seed in (0, 1))
    for alpha, expected in ((0.0, one), (1.0, other)):
        found = interpolate(one, other, alpha)
        assert all(torch.equal(found[name], expected[name]) for name in one)
    quarter, mean = interpolate(one, other, 0.25), soup([one, other])
    for name in one:
        torch.testing.assert_close(quarter[name], 0.75 * one[name] + 0.25 * other[name])
        torch.testing.assert_close(mean[name], (one[name] + other[name]) / 2)
    del other["norm.bias"]
    with pytest.raises(GtaError, match=r"cannot be averaged: they differ in norm\.bias"):
        soup([one, other])


def test_rows_are_those_of_the_averaged_models(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = averages.measure_averages(study)
    rows = table.to_pylist()
    runs = {(run.method, run.seed): n for n, run in enumerate(study.runs)}
    curves = {("finetune", 0), ("finetune", 1), ("gta", 0)}
    assert len(rows) == 11 * len(curves) + 1  # fine-tuning has all its seeds, and so a soup
    probe, tuned = (small_vit(runs[method, 1]) for method in ("linear_probe", "finetune"))
    other = small_vit(runs["finetune", 0])
    model, store = small_vit(0), stores.Store(study.store("mini_near"))
    recipe = study.recipe(study.runs[0])
    for where, weights in (
        ((1, 0.3), interpolate(probe.state_dict(), tuned.state_dict(), 0.3)),
        ((None, None), soup([tuned.state_dict(), other.state_dict()])),
    ):
        (row,) = [r for r in rows if r["method"] == "finetune" and (r["seed"], r["alpha"]) == where]
        model.load_state_dict(weights)
        for split, column in (("test", "acc1"), ("heldout", "heldout_acc1")):
            images = store.indices(split)
            with torch.inference_mode():
                found = model.eval()(Evaluator(recipe)(store.images(images))).argmax(1)
            accuracy = 100 * (found.numpy() == store.labels[images]).mean()
            if split == "heldout" and where == (None, None):
                assert row[column] is None
            else:
                assert row[column] == pytest.approx(accuracy)
        assert 0 < row["attention_mass"] < 1
    monkeypatch.setattr(measure, "evaluate_each", None)
    assert averages.measure_averages(study).equals(table)  # kept


def test_figure(study: Study) -> None:
    averages.write(study, averages.measure_averages(study))
    metrics = metrics_frame(study, lambda run: 60.0, lambda run: 50.0)
    collected = Collected(study, metrics=metrics, states={})
    points = Interpolation().content(study, "figureX3", collected)
    tuned = points[points["method"] == "Fine-tuning"]
    assert list(tuned["n"]) == [2] * 11 + [1]
    assert all(b > a for a, b in pairwise(tuned["alpha"].dropna()))
    figure = Interpolation().draw(study, "figureX3", points)
    assert len(figure.axes) == 2
    assert [axis.get_ylabel() for axis in figure.axes] == [
        "Top-1 accuracy (%)",
        "Attention mass (%)",
    ]


def test_the_probe_must_be_among_the_methods(tiny_config: dict[str, Any]) -> None:
    figure = {
        "kind": "interpolation",
        "title": "t",
        "caption": "c",
        "cells": [{"source": ["main"], "method": ["finetune"]}],
    }
    tiny_config |= {"own_figures": {"curve": figure}}
    with pytest.raises(GtaError, match="needs linear_probe among its methods"):
        Study(tiny_config)
