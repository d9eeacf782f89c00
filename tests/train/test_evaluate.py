"""Evaluation against a loop over images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gta.data.batches.augment import Evaluator
from gta.data.store import VOID, Store, write
from gta.models.vit import create
from gta.study.recipe import Recipe
from gta.train import evaluate as module
from gta.train.evaluate import Evaluated, evaluate_each
from tests.support.samples import CLASSES, random_items

CPU = torch.device("cpu")
SIDE = 16
SIZES = [(20 + 2 * i, 30) for i in range(12)]


def evaluate(model: Any, recipe: Recipe, *rest: Any) -> Evaluated:
    """The result of one model alone."""
    return evaluate_each([model], [recipe], *rest)[0]


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "architecture": "vit_mini_patch8",
            "image_size": SIDE,
            "batch_size": 8,
            "iterations": 4,
            "lr": 1e-3,
            "drop_path": 0.5,
            "evaluation": {"resize": 18},
        }
    )


@pytest.fixture
def model(recipe: Recipe) -> Any:
    """A random model whose answers and attention are far from even."""
    torch.manual_seed(0)
    made = create(recipe.architecture, SIDE, len(CLASSES), recipe.drop_path)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def store_at(folder: Path, masks: bool = True) -> Store:
    splits = ["train", "test"] * 6
    return write(folder, "random", CLASSES, random_items(SIZES, splits, masks=masks))


def attention_on_object(model: Any, image: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean over heads of the attention's mass, from the last block's own weights."""
    with torch.no_grad():
        x = model._pos_embed(model.patch_embed(image[None]))
        x = model.blocks[:-1](x)
        block = model.blocks[-1]
        heads, width = block.attn.num_heads, x.shape[-1]
        q, k, _ = block.attn.qkv(block.norm1(x))[0].split(width, dim=-1)
        found = []
        for rows, keys in zip(q.chunk(heads, -1), k.chunk(heads, -1), strict=True):
            logits = keys[1:] @ rows[0] / (width // heads) ** 0.5
            attention = logits.softmax(dim=0).reshape(SIDE // 8, SIDE // 8)
            pixels = attention.repeat_interleave(8, 0).repeat_interleave(8, 1) / 64
            found.append(pixels[mask].sum())
        return torch.stack(found).mean().item()


@pytest.mark.parametrize("batch", [5, 256])
def test_against_a_loop_over_images(tmp_path, recipe, model, monkeypatch, batch):
    monkeypatch.setattr(module, "BATCH", batch)
    store, evaluator = store_at(tmp_path), Evaluator(recipe)
    positions = np.array([11, 0, 3, 4, 7, 8, 9])
    found = evaluate(model, recipe, store, positions, evaluator, CPU)
    model.eval()
    right, losses, masses, rows = 0, [], [], []
    for i in positions.tolist():
        image = evaluator([store.image(i)])[0]
        with torch.no_grad():
            logits = model(image[None])[0].double()
        label, said = int(store.labels[i]), int(logits.argmax())
        shares = logits.exp() / logits.exp().sum()
        right += said == label
        losses.append(-shares[label].log().item())
        mask = evaluator.mask(store.mask(i))
        if mask.any():  # the crop may leave the object out
            masses.append(attention_on_object(model, image, mask))
        confidence = pytest.approx(shares[said].item(), rel=1e-4)
        rows.append(
            {
                "split": "heldout",
                "index": i,
                "label": label,
                "prediction": said,
                "confidence": confidence,
            }
        )
    assert 0 < right < len(positions)
    assert found.acc1 == pytest.approx(100 * right / len(positions))
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert found.attention_mass == pytest.approx(np.mean(masses), rel=1e-4)
    assert found.rows("heldout") == rows
    assert all(type(row["index"]) is int for row in found.rows("test"))


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_put_back(tmp_path, recipe, model, training):
    model.train(training)
    store, evaluator = store_at(tmp_path), Evaluator(recipe)
    first = evaluate(model, recipe, store, np.arange(4), evaluator, CPU)
    assert all(part.training == training for part in model.modules())
    # in training mode drop path would have made them differ
    assert evaluate(model, recipe, store, np.arange(4), evaluator, CPU).loss == first.loss


def test_gradients_and_taps_are_left_alone(tmp_path, recipe, model):
    store, evaluator = store_at(tmp_path), Evaluator(recipe)
    evaluate(model, recipe, store, np.arange(4), evaluator, CPU)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize(("masks", "with_mass"), [(False, True), (True, False)])
def test_no_mass_where_it_is_not_to_be_had_or_not_asked_for(
    tmp_path, recipe, model, masks, with_mass
):
    store, evaluator = store_at(tmp_path, masks), Evaluator(recipe)
    found = evaluate(model, recipe, store, np.arange(4), evaluator, CPU, with_mass)
    assert found.attention_mass is None
    assert found.acc1 >= 0


def test_images_without_a_mask_do_not_count_for_the_mass(tmp_path, recipe, model):
    items = list(random_items(SIZES, ["test"] * 12, masks=True))
    some = [
        replace(item, mask=np.asarray(item.mask, dtype=np.uint8))
        if position % 3
        else replace(item, mask=np.full(item.pixels.shape[:2], VOID, np.uint8))
        for position, item in enumerate(items)
    ]
    whole = write(tmp_path / "whole", "random", CLASSES, items)
    partial = write(tmp_path / "partial", "random", CLASSES, some)
    masked = np.flatnonzero([partial.is_masked(position) for position in range(12)])
    assert masked.tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    evaluator, every = Evaluator(recipe), np.arange(12)
    found = evaluate(model, recipe, partial, every, evaluator, CPU)
    expected = evaluate(model, recipe, whole, masked, evaluator, CPU)
    assert found.attention_mass == pytest.approx(expected.attention_mass, rel=1e-5)
    assert len(found.prediction) == 12
    bare = np.setdiff1d(every, masked)
    assert evaluate(model, recipe, partial, bare, evaluator, CPU).attention_mass is None


def test_models_that_are_tested_together_say_what_each_says_alone(tmp_path, recipe, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ON_CPU", 4)
    store = store_at(tmp_path)
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(create(recipe.architecture, SIDE, len(CLASSES)).train(seed == 1))
    positions, evaluator = store.indices("test"), Evaluator(recipe)
    made: list[int] = []
    seen: list[int] = []
    empty = Evaluator.empty

    def counted(self: Evaluator, images: int, *how: bool) -> torch.Tensor:
        made.append(images)
        return empty(self, images, *how)

    monkeypatch.setattr(Evaluator, "empty", counted)
    together = evaluate_each(
        models,
        [recipe] * 3,
        store,
        positions,
        evaluator,
        CPU,
        after_batch=lambda: seen.append(len(made)),
    )
    assert seen == [1, 2]  # six images in batches of four, each made once
    assert [model.training for model in models] == [False, True, False]
    for model, found in zip(models, together, strict=True):
        alone = evaluate(model, recipe, store, positions, evaluator, CPU)
        assert found.rows("test") == alone.rows("test")
        assert (found.loss, found.attention_mass) == (alone.loss, alone.attention_mass)
    assert len({found.loss for found in together}) == 3


def test_models_are_tested_in_their_recipes_precision(tmp_path, recipe, model):
    store, evaluator = store_at(tmp_path), Evaluator(recipe)
    half = recipe.model_copy(update={"precision": "bfloat16"})
    positions = store.indices("test")
    plain, autocast = evaluate_each([model] * 2, [recipe, half], store, positions, evaluator, CPU)
    assert autocast.loss != plain.loss
    assert autocast.loss == pytest.approx(plain.loss, rel=0.1)
    assert autocast.attention_mass == pytest.approx(plain.attention_mass, rel=0.1)
