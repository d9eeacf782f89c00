"""The learning rate, and what AdamW decays."""

from __future__ import annotations

import math

import pytest
import torch
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler

from gta import methods
from gta.models.vit import create
from gta.train.schedule import build_optimiser, learning_rate
from tests.train.runs import run_of


@pytest.mark.parametrize("warmup", [0, 3])
def test_the_learning_rate_warms_up_and_falls_as_a_cosine(make_study, warmup):
    keys = {"iterations": 10, "warmup_iterations": warmup, "lr": 0.8, "min_lr": 0.2}
    study = make_study(recipe=keys)
    recipe = study.recipe(run_of(study))
    for i in range(10):
        if i < warmup:
            expected = 0.8 * (i + 1) / warmup
        else:
            angle = math.pi * (i - warmup) / (10 - warmup)
            expected = 0.2 + (0.8 - 0.2) * 0.5 * (1 + math.cos(angle))
        assert learning_rate(recipe, i) == pytest.approx(expected)
    assert learning_rate(recipe, warmup) == pytest.approx(0.8)


def test_the_warm_up_of_timm(make_study):
    """timm's scheduler, a step of it for each iteration."""
    keys = {"iterations": 20, "warmup_iterations": 6, "lr": 1e-4, "min_lr": 1e-5}
    study = make_study(recipe={**keys, "warmup_lr": 1e-6})
    recipe = study.recipe(run_of(study))
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    scheduler = CosineLRScheduler(
        optimiser, t_initial=20, lr_min=1e-5, warmup_t=6, warmup_lr_init=1e-6
    )
    for i in range(6):
        scheduler.step(i)
        assert learning_rate(recipe, i) == pytest.approx(optimiser.param_groups[0]["lr"])
    assert learning_rate(recipe, 0) == 1e-6
    assert learning_rate(recipe, 6) == 1e-4


def test_groups_of_the_optimiser(make_study):
    study = make_study(recipe={"weight_decay": 0.3, "head_lr_multiple": 5})
    recipe = study.recipe(run_of(study))
    model = create(recipe.architecture, 16, 4)
    optimiser = build_optimiser(model, methods.create("finetune"), recipe)
    found = {
        id(parameter): (group["weight_decay"], group["lr_multiple"], group["betas"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        matrix = name.endswith("weight") and "norm" not in name
        multiple = 5 if name.startswith("head.") else 1
        assert found.pop(id(parameter)) == (0.3 if matrix else 0.0, multiple, (0.9, 0.999)), name
    assert not found


def test_l2_sp_decays_by_its_penalty_alone(make_study):
    study = make_study(recipe={"weight_decay": 0.3})
    recipe = study.recipe(run_of(study))
    model = create(recipe.architecture, 16, 4)
    optimiser = build_optimiser(model, methods.create("l2_sp"), recipe)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.0}
    both = build_optimiser(model, methods.create("l2_sp", weight_decay=True), recipe)
    assert {group["weight_decay"] for group in both.param_groups} == {0.0, 0.3}


def test_layer_decay_is_timms_but_for_the_norm(make_study):
    """timm counts the last norm to the last block; MAE and BEiT count it to the head."""
    study = make_study(recipe={"layer_decay": 0.75, "head_lr_multiple": 1})
    recipe = study.recipe(run_of(study))
    model = create(recipe.architecture, 16, 4)
    groups = param_groups_layer_decay(model, layer_decay=0.75)
    expected = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    optimiser = build_optimiser(model, methods.create("finetune"), recipe)
    found = {id(p): g["lr_multiple"] for g in optimiser.param_groups for p in g["params"]}
    assert [found.pop(id(p)) for p in model.norm.parameters()] == [1, 1]
    assert found == pytest.approx({key: expected[key] for key in found})
    assert len({*found.values()}) == len(model.blocks) + 2
