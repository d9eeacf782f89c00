"""Micro-batches of training: their draws, runs in lock-step, and memory that does not suffice."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from gta.errors import GtaError
from gta.models.sources import read_weights
from gta.models.taps import Taps
from gta.study import Run
from gta.train.learner import Learner
from gta.train.lockstep import train_together
from gta.train.microbatch import DropPaths, micro_batches
from tests.train.runs import (
    CPU,
    ROUGH,
    every_kind,
    fail,
    fit,
    learners_of,
    numbers,
    run_of,
    same,
)


def test_a_batch_is_divided_in_order():
    assert micro_batches(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert micro_batches(6, 3) == [slice(0, 3), slice(3, 6)]
    assert micro_batches(6, 6) == micro_batches(6, 100) == [slice(0, 6)]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("init_values", [None, 0.5])
def test_the_draws_are_those_of_timm_on_the_whole_batch(precision, init_values):
    plain: Any = VisionTransformer(
        img_size=16,
        patch_size=8,
        embed_dim=8,
        depth=3,
        num_heads=2,
        num_classes=5,
        drop_path_rate=0.6,
        init_values=init_values,
    ).train()
    ours = copy.deepcopy(plain)
    names = list(ours.state_dict())
    paths = DropPaths(ours)
    assert list(ours.state_dict()) == names
    images = torch.randn(9, 3, 16, 16)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        torch.manual_seed(4)
        expected = plain(images)
        paths.draw(9, CPU, seed=4)
        paths.choose(slice(0, 9))
        assert torch.equal(ours(images), expected)
        for part in micro_batches(9, 4):
            paths.choose(part)
            torch.testing.assert_close(ours(images[part]), expected[part], rtol=1e-2, atol=1e-2)
        assert torch.equal(ours.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("method", ["gta", "bss"])
def test_a_source_that_is_not_finite_stops_at_once(make_study, method):
    study = make_study(recipe={"micro_batch": 4})
    path = study.weights("tiny_ibot")
    weights = read_weights(path)
    weights["blocks.0.attn.qkv.weight"][0, 0] = math.inf
    save_file(weights, path)
    with pytest.raises(GtaError, match=r"not finite at iteration 0 \(cross_entropy nan"):
        fit(study, run_of(study, method))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_histories_are_those_of_whole_batches(make_study, precision):
    histories = {}
    for size in (None, 4):
        recipe = {**ROUGH, "iterations": 2, "precision": precision, "micro_batch": size}
        study = make_study(recipe=recipe)
        runs = [run_of(study, "gta", mix="transmix"), run_of(study, "bss"), run_of(study, "l2_sp")]
        learners, feed = learners_of(study, runs)
        train_together(learners, feed, fail)
        histories[size] = [learner.history for learner in learners]
    for whole, parts in zip(histories[None], histories[4], strict=True):
        for expected, found in zip(whole, parts, strict=True):
            close = 1e-5 if precision == "float32" else 2e-2
            assert numbers(found) == pytest.approx(numbers(expected), rel=close)


def test_runs_share_the_source_in_each_micro_batch_and_end_as_alone(make_study, monkeypatch):
    study = make_study(recipe={**ROUGH, "iterations": 2, "micro_batch": 4})
    seen: list[int] = []
    forward = Taps.forward_to_last

    def reading(self: Taps, images: Tensor) -> None:
        seen.append(len(images))
        forward(self, images)

    monkeypatch.setattr(Taps, "forward_to_last", reading)
    runs = every_kind(study)
    learners, feed = learners_of(study, runs)
    together = train_together(learners, feed, fail)
    # the main source plain and mixed, the supervised one plain; parts of 4 and 2 images
    assert sorted(seen) == sorted([4, 2] * 3 * 2)
    for learner in together:
        alone = fit(study, learner.run)
        assert learner.history == alone.history, learner.run.name
        assert same(learner.model.state_dict(), alone.model.state_dict()), learner.run.name


ON_A_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB.")
ON_A_CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allo")


def narrow(
    monkeypatch: pytest.MonkeyPatch, most: int, method: str = "gta", error: Exception = ON_A_GPU
) -> None:
    """Memory that holds ``most`` images of a method's runs at once."""
    look = Learner._forward

    def looking(self: Learner, mixed: Any, part: slice, source: Any) -> Any:
        if self.run.method == method and part.stop - part.start > most:
            raise error
        return look(self, mixed, part, source)

    monkeypatch.setattr(Learner, "_forward", looking)


@pytest.mark.parametrize(("method", "error"), [("gta", ON_A_GPU), ("bss", ON_A_CPU)])
def test_auto_finds_the_size_that_fits(make_study, monkeypatch, capsys, method, error):
    """The numbers are those of that size from the start; the others of the pack keep theirs."""
    recipe = {**ROUGH, "iterations": 3}
    given = make_study(recipe={**recipe, "micro_batch": 3})
    expected = fit(given, run_of(given, method))
    study = make_study(recipe={**recipe, "micro_batch": "auto"})
    runs = [run_of(study), run_of(study, method), run_of(study, "msa_guide")]
    narrow(monkeypatch, 4, method, error)
    learners, feed = learners_of(study, runs)
    assert [learner.micro_batch for learner in learners] == [6, 6, 6]
    plain, halved, guide = train_together(learners, feed, fail)
    assert [plain.micro_batch, halved.micro_batch, guide.micro_batch] == [6, 3, 6]
    assert halved.history == expected.history
    assert same(halved.model.state_dict(), expected.model.state_dict())
    for learner in (plain, guide):
        assert same(fit(study, learner.run).model.state_dict(), learner.model.state_dict())
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"{halved.run.name}: out of memory at iteration 0; from here on in micro-batches of 3"
    )


def test_a_source_that_does_not_fit_halves_those_that_read_it(make_study, monkeypatch):
    study = make_study(recipe={"micro_batch": "auto"})
    forward = Taps.forward_to_last

    def reading(self: Taps, images: Tensor) -> None:
        if len(images) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        forward(self, images)

    monkeypatch.setattr(Taps, "forward_to_last", reading)
    learners, feed = learners_of(study, [run_of(study, "gta", lam=1.0), run_of(study, "gta")])
    together = train_together(learners, feed, fail)
    assert [learner.micro_batch for learner in together] == [3, 3]


@pytest.mark.parametrize(
    ("size", "fits", "message"),
    [
        (None, 5, "with 6 images at once; set recipe.micro_batch: auto"),
        (4, 3, "with 4 images at once; set recipe.micro_batch: auto"),
        ("auto", 0, "with 1 image at once; use a larger device or a smaller model"),
    ],
)
def test_a_run_that_does_not_fit_drops_out(make_study, monkeypatch, size, fits, message):
    study = make_study(recipe={"micro_batch": size})
    runs = [run_of(study, "gta", lam=1.0), run_of(study, "bss")]
    narrow(monkeypatch, fits)
    learners, feed = learners_of(study, runs)
    failed: dict[Run, GtaError] = {}
    (other,) = train_together(learners, feed, failed.__setitem__)
    assert {run: str(error) for run, error in failed.items()} == {
        runs[0]: f"iteration 0: out of memory {message}"
    }
    assert all(parameter.grad is None for parameter in learners[0].model.parameters())
    assert same(fit(study, runs[1]).model.state_dict(), other.model.state_dict())
    assert other.finished


def test_memory_that_ends_in_the_update_ends_the_run(make_study, monkeypatch):
    """Part of the weights may be updated by then: nothing can be begun anew."""
    study = make_study(recipe={"micro_batch": "auto"})
    learners, feed = learners_of(study, [run_of(study)])

    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", exhausted)
    failed: dict[Run, GtaError] = {}
    assert train_together(learners, feed, failed.__setitem__) == []
    assert "out of memory with 6 images at once" in str(failed[learners[0].run])
