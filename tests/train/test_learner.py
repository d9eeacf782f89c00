"""A run's own part of training: its numbers, and what moves."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from gta import methods
from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.batches.sampler import BatchStream
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.methods.readings import TapRequest
from gta.models.sources import load_backbone, load_source, read_weights
from gta.models.taps import read_source
from gta.models.vit import create, initialise_head
from gta.study import Run, Study
from gta.train import train_runs
from tests.support.samples import CLASSES
from tests.train.runs import HARDEST, ROUGH, fit, run_of, same


def test_the_loop_is_adamw_on_the_cross_entropy(make_study):
    """Against the update of AdamW (Loshchilov and Hutter, algorithm 2) written out."""
    study = make_study(
        recipe={
            "iterations": 3,
            "min_lr": 1e-4,
            "head_lr_multiple": 10,
            "label_smoothing": 0.1,
            "weight_decay": 0.3,
            "betas": [0.8, 0.95],
        }
    )
    run = run_of(study, seed=1)
    trained, recipe = fit(study, run), study.recipe(run)

    store = Store(study.store(run.dataset))
    subset = subset_of(study, run, store)
    model: Any = create(recipe.architecture, 16, len(CLASSES))
    load_backbone(model, read_weights(study.weights(run.source)), Path("w"))
    initialise_head(model, recipe.head_init_std, run.seed)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    augmenter, stream = Augmenter(recipe, run.seed), BatchStream(len(subset.train), 6, run.seed)
    state = {
        name: (torch.zeros_like(parameter), torch.zeros_like(parameter))
        for name, parameter in model.named_parameters()
    }
    for i in range(3):
        positions = subset.train[stream.batch(i)]
        images = augmenter([store.image(p) for p in positions], i)
        labels = torch.tensor([int(store.labels[p]) for p in positions])
        logits = model(images).log_softmax(dim=1)
        smooth = F.one_hot(labels, 4) * 0.9 + 0.1 / 4
        loss = -(smooth * logits).sum(dim=1).mean()
        model.zero_grad()
        loss.backward()
        assert trained.history[i]["cross_entropy"] == pytest.approx(loss.item(), rel=1e-5)
        right = (logits.argmax(dim=1) == labels).double().mean().item()
        assert trained.history[i]["train_acc1"] == pytest.approx(100 * right)
        rate = 1e-4 + (1e-3 - 1e-4) * (1 + math.cos(math.pi * i / 3)) / 2
        assert trained.history[i]["lr"] == pytest.approx(rate)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                lr = 10 * rate if name.startswith("head.") else rate
                small = parameter.ndim == 1 or name in ("cls_token", "pos_embed")
                first, second = state[name]
                first.mul_(0.8).add_(0.2 * parameter.grad)
                second.mul_(0.95).add_(0.05 * parameter.grad**2)
                parameter.mul_(1 - lr * (0.0 if small else 0.3))
                step = first / (1 - 0.8 ** (i + 1))
                step /= (second / (1 - 0.95 ** (i + 1))).sqrt() + 1e-8
                parameter.sub_(lr * step)
    expected, actual = model.state_dict(), trained.model.state_dict()
    for name, begin in start.items():
        off, way = actual[name] - expected[name], expected[name] - begin
        if name.endswith("qkv.bias"):
            # A softmax is blind to the keys' bias: its gradient is rounding, which AdamW blows up.
            off, way = (torch.cat(part.chunk(3)[::2]) for part in (off, way))
        assert off.norm() < 0.01 * way.norm(), name


def test_training_images_are_learnt(make_study):
    study = make_study(recipe={"iterations": 40, "augment": {"shift": 0, "flip": 0}})
    history = fit(study, run_of(study)).history
    assert [row["iteration"] for row in history] == list(range(40))
    assert history[-1]["cross_entropy"] < 0.5 * history[0]["cross_entropy"]
    assert history[-1]["train_acc1"] == 100


def test_paths_are_dropped_in_training(make_study):
    histories = []
    for rate in (0.0, 0.5):
        study = make_study(recipe={"drop_path": rate})
        histories.append([row["cross_entropy"] for row in fit(study, run_of(study)).history])
    assert all(without != dropped for without, dropped in zip(*histories, strict=True))


def test_runs_of_one_seed_drop_the_same_paths(make_study):
    """Two methods without a penalty at work differ in nothing, stochastic depth included."""
    study = make_study(recipe=ROUGH)
    one, other = fit(study, run_of(study)), fit(study, run_of(study, "gta", lam=0.0))
    assert [row["cross_entropy"] for row in one.history] == [
        row["cross_entropy"] for row in other.history
    ]
    assert same(one.model.state_dict(), other.model.state_dict())


@pytest.mark.parametrize("method", methods.METHODS)
def test_what_a_method_trains_moves_and_nothing_else(make_study, method):
    some = {"rates": [15], "split": {"heldout": 2}} if methods.create(method).unlabelled else {}
    study = make_study(extra_methods=[method], tables=["table2", "table3"], **some)
    run = run_of(study, method, **({"lam": 1.0} if method == "gta" else {}))
    source = read_weights(study.weights(run.source))
    before = {name: tensor.clone() for name, tensor in source.items()}
    if (probe := study.head_run(run)) is not None:
        train_runs(study, [probe], "cpu")
    trained = fit(study, run)
    head: Any = create("vit_mini_patch8", 16, len(CLASSES))
    initialise_head(head, study.recipe(run).head_init_std, run.seed)
    before |= {f"head.{name}": p.detach() for name, p in head.head.named_parameters()}
    # what a method reparametrises keeps its weight under another name, and adds to it
    after = {
        name.replace(".parametrizations.weight.original", ".weight"): p
        for name, p in trained.model.named_parameters()
    }
    added = after.keys() - before.keys()
    assert all(methods.create(method).trains(name) for name in added)
    moved = {name for name in after.keys() - added if not torch.equal(after[name], before[name])}
    assert moved == {name for name in before if methods.create(method).trains(name)}
    assert same(read_weights(study.weights(run.source)), source)


def distance_to_source(study: Study, run: Run) -> float:
    """Squared distance of the [cls] logits to the source's on the test images."""
    recipe, store = study.recipe(run), Store(study.store(run.dataset))
    images = Evaluator(recipe)(store.images(store.indices("test")))
    source = load_source(study.weights(run.source), recipe.architecture, recipe.image_size)
    rows = [
        read_source(model, images, TapRequest(cls_logits="all")).cls_logits
        for model in (fit(study, run).model, source)
    ]
    assert rows[0] is not None
    assert rows[1] is not None
    return (rows[0] - rows[1]).square().sum().item()


def test_gta_holds_the_logits_near_the_source(make_study):
    study = make_study(recipe={"iterations": 30})
    free = distance_to_source(study, run_of(study))
    held = distance_to_source(study, run_of(study, "gta", lam=HARDEST))
    assert 0 < held < 0.5 * free


def test_gta_starts_at_the_source(make_study):
    study = make_study()
    penalty = [row["penalty"] for row in fit(study, run_of(study, "gta", lam=1.0)).history]
    assert penalty[0] == pytest.approx(0, abs=1e-6)
    assert all(value > 1e-4 for value in penalty[1:])


def test_a_method_without_penalty_records_none(make_study):
    study = make_study()
    assert {row["penalty"] for row in fit(study, run_of(study)).history} == {0.0}


def test_spd_shortens_the_way_from_the_source(make_study):
    """The more so the larger lambda is; at zero it is fine-tuning without weight decay."""
    study = make_study(
        extra_methods=["spd"],
        methods={"spd": {"grid": [0, 0.5, 1]}},
        recipe={"iterations": 8, "weight_decay": 0.0},
    )
    plain = fit(study, run_of(study)).model.state_dict()
    ways = []
    for lam in study.grid("spd"):
        learner = fit(study, run_of(study, "spd", lam=lam))
        source = learner.source.parameters
        weights = dict(learner.model.named_parameters())
        ways.append(sum((weights[n].detach() - source[n]).norm().item() for n in source))
        if lam == 0:
            assert all(torch.equal(weights[name], plain[name]) for name in weights)
    assert all(later < earlier for earlier, later in pairwise(ways))


@pytest.mark.parametrize("method", ["finetune", "bss", "gta", "l2_sp", "block_guide"])
def test_a_source_that_is_not_finite_stops_at_once(make_study, method):
    study = make_study()
    path = study.weights("tiny_ibot")
    weights = read_weights(path)
    weights["blocks.0.attn.qkv.weight"][0, 0] = math.inf
    save_file(weights, path)
    with pytest.raises(GtaError, match=r"not finite at iteration 0 \(cross_entropy nan"):
        fit(study, run_of(study, method))
