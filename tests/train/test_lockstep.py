"""Lock-step: what runs share, and that sharing changes none of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gta.data.batches.loader import Loader
from gta.errors import GtaError
from gta.models import taps
from gta.study import Run
from gta.train.evaluate import evaluate_each
from gta.train.learner import Learner
from gta.train.lockstep import train_together
from gta.train.mixing import MixupCutmix, TransMix
from tests.train.runs import CPU, ROUGH, every_kind, fail, fit, key_of, learners_of, run_of, same


def assert_same(one: Learner, other: Learner) -> None:
    """Two learners of a run ended with the same history and the same weights, bit for bit."""
    assert one.run == other.run
    assert one.history == other.history, one.run.name
    assert same(one.model.state_dict(), other.model.state_dict()), one.run.name


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All batches of training images that are made from here on."""
    seen: list[Tensor] = []
    original = Loader.batch

    def record(self: Loader, iteration: int) -> tuple[Tensor, Tensor]:
        images, labels = original(self, iteration)
        seen.append(images.clone())
        return images, labels

    monkeypatch.setattr(Loader, "batch", record)
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
    assert len({key_of(study, run) for run in runs}) == 1
    assert views[0].shape == (5, 6, 3, 16, 16)
    assert all(torch.equal(view, views[0]) for view in views)
    batches.clear()
    fit(study, run_of(study, seed=1))
    assert not torch.equal(torch.stack(batches), views[0])
    assert key_of(study, run_of(study, seed=1)) != key_of(study, runs[0])


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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_runs_in_lock_step_end_with_the_numbers_they_have_alone(make_study, precision):
    """Every method, both mixes, two sources, with stochastic depth and every augmentation."""
    study = make_study(recipe={**ROUGH, "precision": precision}, heldout_every=2)
    runs = every_kind(study)
    learners, feed = learners_of(study, runs)
    together = train_together(learners, feed, fail)
    assert [learner.run for learner in together] == runs
    for learner in together:
        assert len(learner.history) == 5
        assert_same(learner, fit(study, learner.run))


def test_guides_of_different_blocks_read_the_source_as_alone(make_study):
    guides = {
        "gta": {"blocks": [0, 1]},
        "msa_guide": {"blocks": [1, 2]},
        "block_guide": {"blocks": [2]},
    }
    study = make_study(methods={name: {**own, "grid": [1]} for name, own in guides.items()})
    runs = [run_of(study, method) for method in guides]
    learners, feed = learners_of(study, runs)
    for learner in train_together(learners, feed, fail):
        assert learner.history[-1]["penalty"] > 0
        assert_same(learner, fit(study, learner.run))


def test_a_batch_is_made_mixed_and_read_by_each_source_once(make_study, batches, monkeypatch):
    study = make_study(recipe={"iterations": 3})
    mixings, passes = [], []
    mix, forward = TransMix.__call__, taps.Taps.forward_to_last

    def mixing(self: TransMix, *batch: Any) -> Any:
        mixings.append(self)
        return mix(self, *batch)

    def reading(self: taps.Taps, images: Tensor) -> None:
        passes.append(images)
        forward(self, images)

    monkeypatch.setattr(TransMix, "__call__", mixing)
    monkeypatch.setattr(taps.Taps, "forward_to_last", reading)
    learners, feed = learners_of(study, every_kind(study))
    train_together(learners, feed, fail)
    assert len(batches) == 3
    assert len(mixings) == 3
    # the main source plain and mixed, the supervised one plain
    assert len(passes) == 3 * 3


def test_runs_may_be_of_different_length_and_at_different_places(make_study):
    study = make_study(overrides=[{"method": ["bss"], "recipe": {"iterations": 2}}])
    runs = [run_of(study), run_of(study, "bss"), run_of(study, "l2_sp")]
    learners, feed = learners_of(study, runs)
    learners[2:] = train_together(learners[2:], feed, fail)  # one that is done already
    told: list[tuple[Run, int, int]] = []
    together = train_together(learners, feed, fail, lambda *said: told.append(said))
    finetune, bss, _ = runs
    assert told == [
        (finetune, 1, 4),
        (bss, 1, 2),
        (finetune, 2, 4),
        (bss, 2, 2),
        (finetune, 3, 4),
        (finetune, 4, 4),
    ]
    for learner in together:
        assert_same(learner, fit(study, learner.run))


def test_one_that_diverges_drops_out_and_the_others_go_on(make_study):
    study = make_study(overrides=[{"method": ["gta"], "recipe": {"lr": 1e30}}])
    runs = [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, "l2_sp")]
    learners, feed = learners_of(study, runs)
    failed: dict[Run, GtaError] = {}
    together = train_together(learners, feed, failed.__setitem__)
    assert [learner.run for learner in together] == [runs[0], runs[2]]
    assert list(failed) == [runs[1]]
    assert "the loss is not finite at iteration 1" in str(failed[runs[1]])
    for learner in together:
        assert_same(learner, fit(study, learner.run))


def test_what_breaks_a_batch_drops_those_that_need_it(make_study, monkeypatch):
    study = make_study()
    runs = [run_of(study), run_of(study, mix="transmix"), run_of(study, "gta", mix="transmix")]
    learners, feed = learners_of(study, runs)

    def broken(self: TransMix, *batch: Any) -> Any:
        raise GtaError("mix transmix: broken")

    monkeypatch.setattr(TransMix, "__call__", broken)
    failed: dict[Run, GtaError] = {}
    together = train_together(learners, feed, failed.__setitem__)
    assert [learner.run for learner in together] == runs[:1]
    assert {run: str(error) for run, error in failed.items()} == dict.fromkeys(
        runs[1:], "mix transmix: broken"
    )
    monkeypatch.setattr(feed.loader, "batch", lambda iteration: broken(TransMix()))
    learners, _ = learners_of(study, runs)
    assert train_together(learners, feed, failed.__setitem__) == []
    assert len(failed) == 3


def test_held_out_images_are_classified_at_the_iterations_asked_for(make_study):
    study = make_study(recipe={"iterations": 6}, heldout_every=2)
    run = run_of(study, "gta", lam=1.0)
    learner = fit(study, run)
    seen = [row["heldout_acc1"] for row in learner.history]
    assert [value is None for value in seen] == [True, False] * 3
    _, feed = learners_of(study, [run])
    heldout = feed.subset.heldout
    (found,) = evaluate_each(
        [learner.model], [learner.recipe], feed.store, heldout, feed.evaluator, CPU
    )
    assert seen[-1] == found.acc1
    masses = [row["heldout_attention_mass"] for row in learner.history if row["heldout_acc1"]]
    assert masses[-1] == found.attention_mass is not None
    assert len(set(masses)) == 3
    plain = fit(make_study(recipe={"iterations": 6}), run)
    assert same(plain.model.state_dict(), learner.model.state_dict())
    whole = make_study(recipe={"iterations": 2}, heldout_every=1, rates=[100])
    history = fit(whole, run_of(whole, rate=100)).history
    assert [row["heldout_acc1"] for row in history] == [None, None]  # nothing is held out
    assert [row["heldout_attention_mass"] for row in history] == [None, None]


def test_shared_time_is_counted_once(make_study, monkeypatch):
    """A clock that ticks once a look: the seconds of all runs add up to what passed."""
    study = make_study()
    ticks = iter(range(10_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    learners, feed = learners_of(study, [run_of(study), run_of(study, "l2_sp")])
    begin = next(ticks)
    together = train_together(learners, feed, fail)
    end = next(ticks)
    assert together[0].seconds == together[1].seconds > 0
    # between two iterations the clock is looked at once, and once at either end
    assert sum(learner.seconds for learner in together) == end - begin - 1 - 4


def test_the_base_mix_and_repeats_reach_the_batches(make_study):
    later = {"base_mix": "mixup_cutmix", "repeated_augmentation": 2}
    study = make_study(recipe={**ROUGH, **later})
    runs = [run_of(study), run_of(study, mix="transmix")]
    learners, feed = learners_of(study, runs)
    assert [type(learner.mix) for learner in learners] == [MixupCutmix, TransMix]
    images, labels = feed.loader.batch(0)
    assert labels[::2].tolist() == labels[1::2].tolist()
    assert not torch.equal(images[0], images[1])  # each copy has its own augmentation
    together = train_together(learners_of(study, runs)[0], feed, fail)
    for learner in together:
        assert_same(learner, fit(study, learner.run))
