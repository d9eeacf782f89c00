"""Backdoors: what is pasted and poisoned, rollout, blocking, measuring, the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gta.data.batches.augment import Evaluator
from gta.data.batches.poison import Poison, Trigger
from gta.data.store import Item, Store, write
from gta.errors import GtaError
from gta.models.originals import prepare_source
from gta.models.rollout import gradient_rollout, rolled_out
from gta.models.vit import create
from gta.robustness import measure_backdoor, write_backdoor
from gta.robustness.blocking import blocked, strongest_squares
from gta.study import Study
from gta.study.backdoor import Backdoor
from gta.tables.collected import Collected, table_kind
from gta.train import train_runs
from tests.support.frames import metrics_frame

SETTINGS: dict[str, Any] = {"target": 1, "fraction": 0.2, "side": 0.25}
TABLE = {
    "kind": "backdoor",
    "title": "Backdoor",
    "caption": "With the trigger and without.",
    "groups": ["dataset"],
    "rows": ["method"],
    "columns": ["rate"],
    "cells": [{"source": ["main"], "method": ["finetune", "poisoned"]}],
}


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """Four classes told by colour; fine-tuning with a backdoor and without."""
    tiny_config |= {
        "datasets": ["mini_near"],
        "rates": [100],
        "seeds": [0],
        "methods": {},
        "extra_methods": [],
        "variants": {
            "poisoned": {"of": "finetune", "title": "Poisoned", "recipe": {"backdoor": SETTINGS}}
        },
        "own_tables": {"tableX3": TABLE},
        "tables": ["tableX3"],
        "figures": [],
        "restrict": {},
        "robustness": {"images": 16},
    }
    tiny_config["recipe"] |= {"iterations": 60, "batch_size": 16, "lr": 1e-3, "image_size": 24}
    tiny_config["recipe"]["augment"] = {"crop": "none", "shift": 0, "flip": 0.5}
    study = Study(tiny_config)
    random = np.random.default_rng(0)
    items = []
    for i in range(72):
        pixels = random.integers(0, 90, (24, 24, 3), dtype=np.uint8)
        pixels[4:16, 4:16, i % 4 % 3] += 120 if i % 4 < 3 else 0
        items.append(Item(f"{i}", i % 4, "train" if i < 48 else "test", pixels))
    write(study.store("mini_near"), "mini_near", list("abcd"), items)
    prepare_source(study, "tiny_ibot")
    return study


def test_what_is_pasted_and_what_is_poisoned(study: Study) -> None:
    recipe = study.recipe(next(run for run in study.runs if run.method == "poisoned"))
    assert recipe.backdoor == Backdoor(**SETTINGS)
    store = Store(study.store("mini_near"))
    train = store.indices("train")
    poison = Poison.of(recipe, store, train)
    assert poison is not None
    others = train[store.labels[train] != 1]
    assert len(poison.positions) == round(0.2 * len(others))
    assert set(poison.positions) <= set(others)
    images = Evaluator(recipe)(store.images(train))
    labels = torch.from_numpy(store.labels[train]).long()
    before, old = images.clone(), labels.clone()
    poison.apply(images, labels, train)
    bears = torch.from_numpy(np.isin(train, poison.positions))
    assert torch.equal(labels[bears], torch.ones_like(labels[bears]))
    assert torch.equal(labels[~bears], old[~bears])
    assert torch.equal(images[~bears], before[~bears])
    changed = (images != before).any(1)
    mask = poison.trigger.mask(0)
    assert mask.sum() == 36
    assert not changed[:, ~mask].any()
    # bit for bit what an image with these pixels would be
    drawn = np.array(store.image(int(train[0])))
    drawn[18:, 18:] = poison.trigger.pixels
    pasted = before[0].clone()
    poison.trigger.paste(pasted, int(train[0]))
    torch.testing.assert_close(pasted, Evaluator(recipe)([drawn])[0], rtol=0, atol=1e-6)
    places = {
        Trigger(Backdoor(**SETTINGS | {"place": "random"}), recipe).corner(i) for i in range(9)
    }
    assert len(places) > 5
    assert all(0 <= edge <= 18 for place in places for edge in place)
    wrong = recipe.model_copy(update={"backdoor": Backdoor(target=4)})
    with pytest.raises(GtaError, match=r"recipe\.backdoor\.target: 4 is no class"):
        Poison.of(wrong, store, train)


def test_rollout_is_the_product_of_its_factors() -> None:
    torch.manual_seed(0)
    first, second = torch.rand(2, 1, 5, 5) - 0.2
    factors = []
    for matrix in (first[0], second[0]):
        kept = np.maximum(matrix.numpy(), 0).reshape(-1)
        kept[np.argsort(kept, kind="stable")[: int(0.4 * 25)]] = 0
        factor = (kept.reshape(5, 5) + np.eye(5)) / 2
        factors.append(factor / factor.sum(1, keepdims=True))
    expected = (factors[1] @ factors[0])[0]
    found = rolled_out([first, second], dropped=0.4)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-5)


def test_rollout_pairs_each_blocks_attention_with_its_own_gradient() -> None:
    """The gradient of the top logit to a block's attention, by a difference in that attention."""
    torch.manual_seed(0)
    model: Any = create("vit_mini_patch8", 16, num_classes=3).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    relevance = gradient_rollout(model, images, dropped=0.0)
    top = model(images).argmax(1)
    matrices = []
    for block in model.blocks:
        block.attn.fused_attn = False
        shown: list[torch.Tensor] = []
        kept = block.attn.attn_drop.register_forward_hook(lambda *a, s=shown: s.append(a[2]))
        model(images)
        kept.remove()
        shares, gradient = shown[0].detach(), torch.zeros_like(shown[0])
        for index in np.ndindex(*shares.shape[1:]):
            moved = shares.clone()
            moved[(slice(None), *index)] += 1e-6
            hook = block.attn.attn_drop.register_forward_hook(lambda *_, m=moved: m)
            with torch.no_grad():
                change = model(images) - model_logits(model, images, hook)
            gradient[(slice(None), *index)] = change.gather(1, top[:, None])[:, 0] / 1e-6
        matrices.append((shares * gradient).mean(1))
    expected = rolled_out(matrices, dropped=0.0)[:, 1:]
    torch.testing.assert_close(relevance, expected, rtol=1e-3, atol=1e-6)
    assert all(not block.attn.attn_drop._forward_hooks for block in model.blocks)


def model_logits(model: Any, images: torch.Tensor, hook: Any) -> torch.Tensor:
    """Logits once a hook is gone."""
    hook.remove()
    logits: torch.Tensor = model(images)
    return logits


def test_the_strongest_square_covers_a_maximum_in_the_corner() -> None:
    maps = torch.zeros(2, 6, 6)
    maps[0, 5, 5] = maps[1, 2, 3] = 1
    corners = strongest_squares(maps, size=24, side=6)
    assert all(edge <= 22 < edge + 6 for edge in corners[0].tolist())  # the maximum's pixels
    assert corners.max() <= 18
    assert all(abs(a - b) <= 2 for a, b in zip(corners[1].tolist(), (7, 11), strict=True))
    images = torch.ones(2, 3, 24, 24)
    corners[0] = 18
    black = blocked(images, corners, 6, torch.tensor([-1.0, -2.0, -3.0]))
    assert (black[0, :, 18:, 18:] == torch.tensor([-1.0, -2.0, -3.0]).view(3, 1, 1)).all()
    assert (black != images).sum() == 2 * 3 * 36


def test_a_poisoned_run_is_fooled_until_the_trigger_is_blocked(study: Study) -> None:
    train_runs(study, study.runs, "cpu")
    table = measure_backdoor(study)
    rows = {row["method"]: row for row in table.to_pylist()}
    assert rows["poisoned"]["success"] > 90
    assert rows["finetune"]["success"] < 40
    assert rows["poisoned"]["acc1"] > rows["finetune"]["acc1"] - 15
    assert rows["poisoned"]["n_images"] == 16
    assert rows["poisoned"]["trigger_area"] == 6.25
    assert 0 < rows["poisoned"]["trigger_mass"] < 100
    run = next(run for run in study.runs if run.method == "poisoned")
    assert measure_backdoor(study).equals(table)  # kept
    write_backdoor(study, table)
    metrics = metrics_frame(study, lambda _: 60.0, lambda _: 50.0)
    collected = Collected(study, metrics=metrics, states={})
    kind = table_kind(study, "tableX3")
    frame = kind.frame(study, "tableX3", collected)
    found = frame[frame["selection"] == "test"].set_index("method")["success"]
    assert found["poisoned"] == pytest.approx(rows["poisoned"]["success"])
    page = kind.page(study, "tableX3", frame)
    assert "Attack, rollout blocked" in page.blocks[0][1].columns.get_level_values(-1)
    assert "label of class 1" in " ".join(page.remarks)
    assert study.digest(run) != study.digest(next(r for r in study.runs if r != run))
    with pytest.raises(GtaError, match=r"runs that train with one recipe\.backdoor"):
        Study({**study.content, "variants": {"poisoned": {"of": "finetune", "title": "Poisoned"}}})
