"""Training runs: the numbers, what repeats, what moves, and what is left behind."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from gta import methods, results, train
from gta.data.augment import Augmenter, Evaluator
from gta.data.sampler import BatchStream
from gta.data.splits import Subset, random_subset
from gta.data.store import Store
from gta.errors import GtaError
from gta.evaluate import evaluate
from gta.mixing import TransMix
from gta.models.sources import load_backbone, load_source, read_weights
from gta.models.taps import TapRequest, read_source
from gta.models.vit import create, initialise_head
from gta.study import Run, Study
from gta.study.load import merge
from gta.train import Trained, train_runs
from tests.samples import CLASSES, prepare_inputs, random_store

CPU = torch.device("cpu")
HARDEST = 100.0  # a lambda that leaves the logits nearly where they were


@pytest.fixture
def make_study(tiny_config: dict[str, Any], workdir: Path) -> Callable[..., Study]:
    """A study of every method at 16 pixels, all its inputs prepared; changes are laid over it."""
    small = {
        "datasets": ["mini_near"],
        "seeds": [0, 1],
        "methods": {"gta": {"grid": [0, 1, HARDEST]}, "l2_sp": {"grid": [0.01]}},
        "extra_methods": ["linear_probe"],
        "recipe": {
            "image_size": 16,
            "batch_size": 6,
            "augment": {"crop": "none", "shift": 2, "flip": 0.5},
        },
        "tables": ["table2", "table3", "table5", "table6"],
        "keep_weights": "all",
    }

    def make(**changes: Any) -> Study:
        study = Study(merge(merge(tiny_config, small), changes))
        if not study.weights_root.exists():
            prepare_inputs(study)
        return study

    return make


def run_of(study: Study, method: str = "finetune", **fields: Any) -> Run:
    """The study's run with the main source, its lowest rate, lambda and seed."""
    run = Run("mini_near", 15, "tiny_ibot", method, "none", study.grid(method)[0], 0)
    run = replace(run, **fields)
    return study.find(run.name)


def fit(study: Study, run: Run, progress: train.Progress | None = None) -> Trained:
    """The training loop alone."""
    store = Store(study.store(run.dataset))
    return train.fit(study, run, study.recipe(run), store, subset_of(study, run), CPU, progress)


def subset_of(study: Study, run: Run) -> Subset:
    store = Store(study.store(run.dataset))
    return random_subset(store.labels, store.splits, run.rate, run.seed, study.config.split.heldout)


def weights_of(study: Study, run: Run) -> dict[str, Tensor]:
    return load_file(study.path("models", run))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all is equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# The numbers


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
        assert train.learning_rate(recipe, i) == pytest.approx(expected)
    assert train.learning_rate(recipe, warmup) == pytest.approx(0.8)


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

    store, subset = Store(study.store(run.dataset)), subset_of(study, run)
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


def test_groups_of_the_optimiser(make_study):
    study = make_study(recipe={"weight_decay": 0.3, "head_lr_multiple": 5})
    recipe = study.recipe(run_of(study))
    model = create(recipe.architecture, 16, 4)
    optimiser = train.build_optimiser(model, methods.create("finetune"), recipe)
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
    optimiser = train.build_optimiser(model, methods.create("l2_sp"), recipe)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.0}


# What repeats

ROUGH = {
    "iterations": 5,
    "drop_path": 0.3,
    "augment": {"crop": "random_resized_crop", "randaugment": "rand-m9-mstd0.5-inc1"},
}


@pytest.mark.parametrize(
    ("method", "mix"), [("finetune", "transmix"), ("gta", "none"), ("bss", "none")]
)
def test_a_run_gives_the_same_numbers_again(make_study, method, mix):
    studies = [make_study(study=name, recipe=ROUGH) for name in ("one", "other")]
    run = run_of(studies[0], method, mix=mix)
    for number, study in enumerate(studies):
        # whatever other code drew before
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)
        train_runs(study, [run], "cpu")
    for kind in ("history", "predictions"):
        one, other = (results.read_part(study, kind, run) for study in studies)
        assert one.equals(other)
    one, other = (results.read_part(study, "metrics", run).to_pylist()[0] for study in studies)
    timed = {"seconds", "images_per_second", "peak_memory_mb", "finished_at"}
    assert {k: v for k, v in one.items() if k not in timed} == {
        k: v for k, v in other.items() if k not in timed
    }
    assert same(*(weights_of(study, run) for study in studies))


def test_runs_before_it_do_not_change_a_run(make_study):
    alone, after = (make_study(study=name, recipe=ROUGH) for name in ("alone", "after"))
    run = run_of(alone, "gta", seed=1)
    train_runs(alone, [run], "cpu")
    train_runs(after, [run_of(after), run_of(after, "l2_sp"), run], "cpu")
    assert same(weights_of(alone, run), weights_of(after, run))


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All batches of training images that are made from here on."""
    seen: list[Tensor] = []
    original = Augmenter.__call__

    def record(self: Augmenter, images: Any, iteration: int) -> Tensor:
        seen.append(original(self, images, iteration))
        return seen[-1].clone()

    monkeypatch.setattr(Augmenter, "__call__", record)
    return seen


def test_runs_of_one_seed_see_the_same_batches(make_study, batches):
    study = make_study(recipe=ROUGH)
    runs = [
        run_of(study, "finetune"),
        run_of(study, "gta", lam=1.0),
        run_of(study, "bss"),
        run_of(study, "linear_probe"),
        run_of(study, "finetune", mix="transmix"),
        run_of(study, "finetune", source="tiny_supervised"),
    ]
    views = []
    for run in runs:
        batches.clear()
        fit(study, run)
        views.append(torch.stack(batches))
    assert views[0].shape == (5, 6, 3, 16, 16)
    assert all(torch.equal(view, views[0]) for view in views)
    batches.clear()
    fit(study, run_of(study, seed=1))
    assert not torch.equal(torch.stack(batches), views[0])


def test_runs_of_one_seed_mix_the_same_way_and_each_batch_another_way(make_study, monkeypatch):
    study = make_study(recipe={"iterations": 8, "transmix": {"switch_prob": 0.5}})
    seen: list[Any] = []
    original = TransMix.__call__

    def record(self: TransMix, images: Tensor, labels: Tensor, generator: Any) -> Any:
        mixed = original(self, images, labels, generator)
        seen.append((mixed.box, mixed.share))
        return mixed

    monkeypatch.setattr(TransMix, "__call__", record)
    for method in ("finetune", "gta"):
        fit(study, run_of(study, method, mix="transmix"))
    assert seen[:8] == seen[8:]
    assert len(set(seen)) == 8
    assert len({box is None for box, _ in seen}) == 2


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


def test_the_subset_follows_the_runs_seed_or_the_studys(make_study):
    def trained_on(study: Study, seed: int) -> set[tuple[int, int]]:
        run = run_of(study, seed=seed)
        train_runs(study, [run], "cpu")
        rows = results.read_part(study, "predictions", run).to_pylist()
        return {row["index"] for row in rows if row["split"] == "heldout"}

    drawn, fixed = make_study(study="drawn"), make_study(study="fixed", split={"seed": 1})
    assert trained_on(drawn, 0) != trained_on(drawn, 1)
    assert trained_on(fixed, 0) == trained_on(fixed, 1) == trained_on(drawn, 1)


# What moves


@pytest.mark.parametrize("method", methods.METHODS)
def test_what_a_method_trains_moves_and_nothing_else(make_study, method):
    study = make_study()
    run = run_of(study, method, **({"lam": 1.0} if method == "gta" else {}))
    source = read_weights(study.weights(run.source))
    before = {name: tensor.clone() for name, tensor in source.items()}
    trained = fit(study, run)
    head: Any = create("vit_mini_patch8", 16, len(CLASSES))
    initialise_head(head, study.recipe(run).head_init_std, run.seed)
    before |= {f"head.{name}": p.detach() for name, p in head.head.named_parameters()}
    moved = {
        name for name, p in trained.model.named_parameters() if not torch.equal(p, before[name])
    }
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


# What is left behind


def test_the_row_of_metrics(make_study):
    study = make_study()
    run = run_of(study, "gta", lam=1.0)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study, "metrics", run).to_pylist()
    store = Store(study.store(run.dataset))
    predictions = results.read_part(study, "predictions", run).to_pylist()
    for split, key, count in (("test", "acc1", 12), ("heldout", "heldout_acc1", 24)):
        rows = [said for said in predictions if said["split"] == split]
        assert len(rows) == count
        assert [said["label"] for said in rows] == store.labels[[r["index"] for r in rows]].tolist()
        right = sum(said["prediction"] == said["label"] for said in rows)
        assert row[key] == pytest.approx(100 * right / count)
    assert {said["index"] for said in predictions if said["split"] == "test"} == set(range(32, 44))
    assert (row["n_train"], row["n_test"], row["n_heldout"]) == (8, 12, 24)
    assert row["iterations"] == 4
    assert row["loss"] > 0
    assert row["heldout_loss"] > 0
    assert row["images_per_second"] == pytest.approx(4 * 6 / row["seconds"])
    assert 50 < row["peak_memory_mb"] < 50_000
    assert row["device"] == f"cpu x {torch.get_num_threads()}"
    assert row["precision"] == "float32"
    assert 0 < row["attention_mass"] < 1
    assert row["recipe_digest"] == study.digest(run)
    assert row["data_digest"] == store.digest
    assert row["source_digest"] == results.file_digest(study.weights(run.source))
    versions = json.loads(row["versions"])
    assert versions["torch"] == version("torch")
    assert {"python", "gta", "torch", "torchvision", "timm", "numpy"} == versions.keys()
    assert row["git_commit"]
    assert row["finished_at"].tzinfo is not None
    history = results.read_part(study, "history", run).to_pylist()
    assert [line["iteration"] for line in history] == [0, 1, 2, 3]


def test_at_100_percent_nothing_is_held_out(make_study):
    study = make_study()
    run = run_of(study, rate=100)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study, "metrics", run).to_pylist()
    assert (row["n_train"], row["n_heldout"]) == (32, 0)
    assert row["heldout_acc1"] is row["heldout_loss"] is None


def test_no_mass_without_masks(make_study):
    study = make_study()
    random_store(study.store("mini_near"), masks=False)
    run = run_of(study)
    train_runs(study, [run], "cpu")
    assert results.read_part(study, "metrics", run)["attention_mass"].to_pylist() == [None]


def test_the_kept_weights_give_the_same_predictions(make_study):
    study = make_study()
    run = run_of(study)
    train_runs(study, [run], "cpu")
    path, recipe = study.path("models", run), study.recipe(run)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"run": run.name, "recipe_digest": study.digest(run)}
    model = create(recipe.architecture, recipe.image_size, len(CLASSES))
    model.load_state_dict(load_file(path))
    store = Store(study.store(run.dataset))
    found = evaluate(model, store, store.indices("test"), Evaluator(recipe), CPU)
    (row,) = results.read_part(study, "metrics", run).to_pylist()
    assert (found.acc1, found.loss) == (row["acc1"], row["loss"])
    assert found.attention_mass == row["attention_mass"]


def test_weights_that_no_figure_needs_are_not_kept(make_study):
    study = make_study(keep_weights="none")
    train_runs(study, [run_of(study)], "cpu")
    assert not (study.folder / "models").exists()


def test_progress_is_told_each_iteration(make_study):
    study = make_study()
    run = run_of(study)
    told: list[tuple[Run, int, int]] = []
    train_runs(study, [run], "cpu", lambda *said: told.append(said))
    assert told == [(run, i, 4) for i in (1, 2, 3, 4)]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("method", "mix"), [("gta", "transmix"), ("block_guide", "none")])
def test_half_precision(make_study, precision, method, mix):
    study = make_study(recipe={"precision": precision, "iterations": 8})
    run = run_of(study, method, mix=mix)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study, "metrics", run).to_pylist()
    assert row["precision"] == precision
    assert row["loss"] < 5
    weights = weights_of(study, run)
    source = read_weights(study.weights(run.source))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert not torch.equal(weights["norm.weight"], source["norm.weight"])


# What is done, stale or broken


@pytest.fixture
def done(make_study: Callable[..., Study]) -> tuple[Study, Run, Path]:
    """A trained run and its metrics, an hour old."""
    study = make_study()
    run = run_of(study)
    train_runs(study, [run], "cpu")
    path = study.path("metrics", run)
    hour_ago = path.stat().st_mtime - 3600
    os.utime(path, (hour_ago, hour_ago))
    return study, run, path


def test_a_valid_result_is_touched_and_left_as_it_is(done, monkeypatch):
    study, run, path = done
    before, content = path.stat(), path.read_bytes()
    monkeypatch.setattr(train, "train_run", None)
    train_runs(study, [run], "cpu")
    assert path.stat().st_ino == before.st_ino
    assert path.read_bytes() == content
    assert path.stat().st_mtime > before.st_mtime + 3000


def other_recipe(study: Study, run: Run) -> Study:
    return Study(merge(study.content, {"recipe": {"lr": 5e-4}}))


def other_data(study: Study, run: Run) -> Study:
    random_store(study.store(run.dataset), seed=9)
    return study


def other_source(study: Study, run: Run) -> Study:
    weights = read_weights(study.weights(run.source))
    save_file({**weights, "norm.bias": weights["norm.bias"] + 1}, study.weights(run.source))
    return study


def no_weights(study: Study, run: Run) -> Study:
    study.path("models", run).unlink()
    return study


def cut_metrics(study: Study, run: Run) -> Study:
    path = study.path("metrics", run)
    path.write_bytes(path.read_bytes()[:100])
    return study


@pytest.mark.parametrize(
    "change", [other_recipe, other_data, other_source, no_weights, cut_metrics]
)
def test_a_result_that_is_not_valid_is_made_again(done, change):
    study, run, path = done
    before = path.stat().st_ino
    study = change(study, run)
    train_runs(study, [run], "cpu")
    assert path.stat().st_ino != before
    store = Store(study.store(run.dataset))
    origin = results.Origin(store.digest, results.file_digest(study.weights(run.source)))
    assert results.state(study, run, origin).state == "done"


def test_a_diverged_run_says_where_and_the_others_are_trained(make_study):
    study = make_study(overrides=[{"method": ["gta"], "recipe": {"lr": 1e30}}])
    runs = [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, seed=1)]
    with pytest.raises(GtaError) as raised:
        train_runs(study, runs, "cpu")
    said = str(raised.value)
    assert said.startswith("1 run(s) failed; the first, mini_near 15 %, tiny_ibot, gta, lambda 1")
    assert "the loss is not finite at iteration 1 (cross_entropy nan, gta nan)" in said
    assert "lower recipe.lr" in said
    assert "\n" not in said
    failed = runs[1]
    assert results.failure_path(study, failed).read_text().startswith("the loss is not finite")
    for kind in ("metrics", "history", "predictions", "models"):
        assert not study.path(kind, failed).exists()
    assert [results.state(study, run).state for run in runs] == ["done", "failed", "done"]


def test_a_run_that_works_again_takes_its_failure_back(make_study):
    broken = make_study(recipe={"lr": 1e30})
    run = run_of(broken)
    with pytest.raises(GtaError, match=r"1 run\(s\) failed"):
        train_runs(broken, [run], "cpu")
    study = make_study()
    train_runs(study, [run], "cpu")
    assert not results.failure_path(study, run).exists()
    assert results.state(study, run).state == "done"


def test_a_stale_result_does_not_hide_a_failure(done):
    study, run, path = done
    broken = Study(merge(study.content, {"recipe": {"lr": 1e30}}))
    with pytest.raises(GtaError, match=r"1 run\(s\) failed"):
        train_runs(broken, [run], "cpu")
    assert results.state(broken, run).state == "failed"
    assert path.exists()  # what was there is valid again once the config is
    assert results.state(study, run).state == "done"
    train_runs(study, [run], "cpu")
    assert not results.failure_path(study, run).exists()


@pytest.mark.parametrize("method", ["finetune", "bss", "gta", "l2_sp", "block_guide"])
def test_a_source_that_is_not_finite_stops_at_once(make_study, method):
    study = make_study()
    path = study.weights("tiny_ibot")
    weights = read_weights(path)
    weights["blocks.0.attn.qkv.weight"][0, 0] = math.inf
    save_file(weights, path)
    with pytest.raises(GtaError, match=r"not finite at iteration 0 \(cross_entropy nan"):
        fit(study, run_of(study, method))


def test_a_last_step_that_breaks_the_weights_is_a_failure(make_study):
    study = make_study(recipe={"iterations": 1, "lr": 1e30})
    with pytest.raises(GtaError, match="the test loss is nan after the last iteration; lower"):
        train_runs(study, [run_of(study)], "cpu")


def test_a_killed_run_leaves_nothing(make_study):
    study = make_study()

    def kill(run: Run, iterations: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_runs(study, [run_of(study)], "cpu", kill)
    assert not study.folder.exists()


def test_metrics_are_written_last(make_study, monkeypatch):
    study = make_study()
    written = []
    original, keep = results.write, train.save_weights

    def write(study: Study, kind: Any, run: Run, rows: Any) -> None:
        written.append(kind)
        original(study, kind, run, rows)

    def save(path: Path, *rest: Any) -> None:
        written.append("models")
        keep(path, *rest)

    monkeypatch.setattr(results, "write", write)
    monkeypatch.setattr(train, "save_weights", save)
    train_runs(study, [run_of(study)], "cpu")
    assert sorted(written) == ["history", "metrics", "models", "predictions"]
    assert written[-1] == "metrics"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda s: s.weights("tiny_supervised").unlink(), "tiny_supervised.safetensors: cannot be"),
        (lambda s: (s.store("mini_near") / "store.json").unlink(), "store.json: missing; `gta"),
    ],
)
def test_inputs_are_looked_at_before_anything_is_trained(make_study, harm, message):
    study = make_study()
    harm(study)
    with pytest.raises(GtaError, match=message):
        train_runs(study, [run_of(study), run_of(study, source="tiny_supervised")], "cpu")
    assert not study.folder.exists()


def test_a_source_that_does_not_fit_is_a_failure_of_its_runs(make_study):
    study = make_study()
    weights = read_weights(study.weights("tiny_supervised"))
    del weights["norm.bias"]
    save_file(weights, study.weights("tiny_supervised"))
    runs = [run_of(study, source="tiny_supervised"), run_of(study)]
    with pytest.raises(GtaError, match=r"lacks 1 of the model's keys: norm.bias"):
        train_runs(study, runs, "cpu")
    assert [results.state(study, run).state for run in runs] == ["failed", "done"]


# Devices


def test_automatic_device_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train.pick_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert train.pick_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(GtaError) as raised:
        train.pick_device(name)
    assert str(raised.value).startswith(f"device {name!r} cannot be used: ")
    assert str(raised.value).endswith("; try `auto`")
    assert "\n" not in str(raised.value)
