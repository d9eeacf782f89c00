"""Combinations of methods, grids of learning rates and heads to start from, in a study's runs."""

from __future__ import annotations

from typing import Any

import pytest

from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.load import merge
from gta.study.points import Point, points_of, values_of
from gta.tables import select
from tests.support.frames import metrics_frame

METHODS = {
    "lora": {"lr": [0.01, 0.001], "r": 4},
    "gta+lora": {"gta": {"grid": [1, 0.1]}, "lora": {"r": 4}, "lr": [0.001]},
    "gta+spatial_entropy": {"spatial_entropy": {"grid": [0.01, 0.1]}, "gta": {"grid": [1]}},
    "gta+lp_ft": {"gta": {"grid": [0.1]}},
}


def study_of(config: dict[str, Any], methods: dict[str, Any], **changes: Any) -> Study:
    return Study(merge(config, {"methods": methods, **changes}))


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: object) -> Study:
    return study_of(tiny_config, METHODS)


def runs_of(study: Study, method: str) -> list[Run]:
    return [run for run in study.runs if run.method == method and run.seed == 0 and run.rate == 15]


def test_points_are_the_product_and_their_text_is_read_back() -> None:
    points = list(points_of([0.1, 1], {"spatial_entropy": [0.01], "lr": [1e-5, 0.001]}))
    assert points[0] == Point(0.1, "spatial_entropy=0.01:lr=1e-05")
    assert len({*points}) == 4
    assert values_of(points[0].tuned) == {"spatial_entropy": 0.01, "lr": 1e-5}
    assert values_of("") == {}


@pytest.mark.parametrize(
    ("method", "points"),
    [
        ("lora", ["0:lr=0.001", "0:lr=0.01"]),
        ("gta+lora", ["0.1:lr=0.001", "1:lr=0.001"]),
        ("gta+spatial_entropy", ["1:spatial_entropy=0.01", "1:spatial_entropy=0.1"]),
        ("gta", ["0.01", "0.1", "1"]),  # without a grid of its own the name is as it was
    ],
)
def test_names_state_what_is_tuned(study: Study, method: str, points: list[str]) -> None:
    runs = [run for run in runs_of(study, method) if run.dataset == "mini_near"]
    assert [run.text("lam") for run in runs] == points
    assert all(study.find(run.name) == run for run in runs)


def test_a_learning_rate_stands_in_recipe_and_digest(study: Study) -> None:
    low, high = (run for run in runs_of(study, "lora") if run.dataset == "mini_near")
    assert (study.recipe(low).lr, study.recipe(high).lr) == (0.001, 0.01)
    assert study.digest(low) != study.digest(high)


def test_other_runs_keep_names_and_digests(study: Study, tiny_study: Study) -> None:
    assert {*tiny_study.runs} < {*study.runs}
    assert all(study.digest(run) == tiny_study.digest(run) for run in tiny_study.runs)


def test_a_table_of_ones_own_may_name_a_combination(tiny_config: dict[str, Any]) -> None:
    cells = [{"source": ["main"], "method": ["finetune", "gta+bitfit"]}]
    table = {"kind": "accuracy", "title": "T", "caption": "c", "cells": cells}
    runs = Study(merge(tiny_config, {"own_tables": {"own": table}})).runs_of("own")
    assert {run.method for run in runs} == {"finetune", "gta+bitfit"}


def test_settings_of_parts_reach_method_and_digest(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    method = study.methods.create("gta+spatial_entropy", "spatial_entropy=0.1")
    assert [(part.name, lam) for part, lam in method.terms(3.0)] == [
        ("gta", 3.0),
        ("spatial_entropy", 0.1),
    ]
    (first, *_) = runs_of(study, "gta+lora")
    other = study_of(tiny_config, merge(METHODS, {"gta+lora": {"lora": {"r": 8}}}))
    assert study.digest(first) != other.digest(first)
    assert study.methods.settings("gta+lora") == {"lora.r": 4}


def test_lp_ft_needs_the_probe_of_its_seed_and_keeps_its_weights(study: Study) -> None:
    run = next(run for run in runs_of(study, "gta+lp_ft") if run.dataset == "mini_near")
    probe = study.head_run(run)
    assert probe is not None
    assert probe == Run("mini_near", 15, "tiny_ibot", "linear_probe", "none", 0, 0)
    assert probe in study.runs
    assert probe not in study.runs_of("table2")  # which does not show it
    assert study.keeps_weights(probe)
    by_method = Study({**study.content, "pack": ["lam"]})
    assert by_method.heads_of(next(p for p in by_method.packs if run in p.runs)) == [probe]
    together = Study({**study.content, "pack": ["method", "lam"]})
    assert together.heads_of(next(p for p in together.packs if run in p.runs)) == []


def test_the_digest_of_lp_ft_covers_the_probe(study: Study) -> None:
    override = {"method": ["linear_probe"], "recipe": {"weight_decay": 0.3}}
    other = Study({**study.content, "overrides": [override]})
    for method, same in (("gta+lp_ft", False), ("gta", True)):
        run = runs_of(study, method)[0]
        assert (study.digest(run) == other.digest(run)) is same


def test_both_rules_choose_among_learning_rates(study: Study) -> None:
    def accuracy(run: Run) -> float:
        return (
            50 + run.seed + 5 * ("lr=0.001" in run.tuned) + 2 * ("spatial_entropy=0.1" in run.tuned)
        )

    def heldout(run: Run) -> float:
        return 50 - accuracy(run)

    table = select(study, metrics_frame(study, accuracy, heldout))
    for selection, lora, entropy in (
        ("test", "lr=0.001", "spatial_entropy=0.1"),
        ("heldout", "lr=0.01", "spatial_entropy=0.01"),
    ):
        rows = table[table["selection"] == selection].set_index("method")["tuned"]
        assert set(rows["lora"]) == {lora}
        assert set(rows["gta+spatial_entropy"]) == {entropy}
        assert set(rows["finetune"]) == {""}


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"gta+bitfit": {"lora": {}}}, "methods.gta\\+bitfit.lora: unknown key"),
        ({"lora+bitfit": {}}, "both choose which parameters train"),
        ({"gta+nothing": {}}, "no method 'nothing'"),
        ({"gta+lora": {"lora": {"lr": [1]}}}, "methods.gta\\+lora.lora.lr: unknown key"),
        ({"lora": {"lr": []}}, "methods.lora.lr"),
        ({"lora": {"lr": [0.1, 0.1]}}, "methods.lora.lr"),
        (
            {"lp_ft": {}, "linear_probe": {"lr": [0.1, 0.01]}},
            "methods.lp_ft: starts from the head of linear_probe, which is tried at several",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tiny_config: dict[str, Any], workdir: object, methods: dict[str, Any], said: str
) -> None:
    with pytest.raises(GtaError, match=said) as refused:
        study_of(tiny_config, methods)
    assert "\n" not in str(refused.value)
