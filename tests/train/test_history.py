"""Rows of history: one step late, finite, and with the iterations that float16 skipped."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gta.errors import GtaError
from gta.train.history import SKIPPED_AT_LEAST, History, Scalars
from gta.train.learner import Learner
from gta.train.pace import Pace
from tests.train.runs import fit, run_of


def scalars(loss: float, skipped: bool | None = None) -> Scalars:
    terms = {"cross_entropy": torch.tensor(loss), "gta": torch.tensor(0.5)}
    flag = None if skipped is None else torch.tensor(skipped)
    return Scalars(terms, torch.tensor(0.25), flag)


def test_a_row_follows_with_the_next_iteration_or_when_it_is_asked_for():
    history = History(10)
    history.note(0, 0.1, scalars(2.0))
    assert history._rows == []  # nothing has waited for the device
    history.note(1, 0.2, scalars(1.0))
    assert [row["cross_entropy"] for row in history._rows] == [2.0]
    assert [row["cross_entropy"] for row in history.rows] == [2.0, 1.0]
    assert history.rows[1] == {
        "iteration": 1,
        "lr": 0.2,
        "cross_entropy": 1.0,
        "penalty": 0.5,
        "train_acc1": 25.0,
        "heldout_acc1": None,
        "heldout_attention_mass": None,
        "skipped": None,
    }


def test_a_loss_that_is_not_finite_names_its_own_iteration_each_time_it_is_asked():
    history = History(10)
    history.note(7, 0.1, scalars(math.nan))
    for _ in range(2):
        with pytest.raises(GtaError, match=r"not finite at iteration 7 \(cross_entropy nan, gta"):
            history.note(8, 0.1, scalars(1.0))


def test_skipped_iterations_are_counted_and_too_many_end_the_run():
    history = History(10)
    for iteration in range(SKIPPED_AT_LEAST + 1):
        history.note(iteration, 0.1, scalars(1.0, skipped=True))
    assert history.skipped == SKIPPED_AT_LEAST
    with pytest.raises(GtaError, match=r"float16 overflowed in 33 of 33 .* set recipe.precision"):
        history.settle()


@pytest.mark.parametrize(("precision", "skipped"), [("float16", 1), ("bfloat16", None)])
def test_an_overflow_of_float16_leaves_the_weights_and_is_noted(
    make_study: Any, monkeypatch: pytest.MonkeyPatch, precision: str, skipped: int | None
) -> None:
    study = make_study(recipe={"precision": precision, "iterations": 3})
    finish = Learner.finish
    steps: list[bool] = []

    def finishing(self: Learner) -> None:
        before = {name: p.clone() for name, p in self.model.named_parameters()}
        if self.iteration == 1 and precision == "float16":
            self.model.head.bias.grad.fill_(math.inf)  # type: ignore[union-attr, operator]
        finish(self)
        steps.append(any((before[n] != p).any() for n, p in self.model.named_parameters()))

    monkeypatch.setattr(Learner, "finish", finishing)
    learner = fit(study, run_of(study))
    assert learner.skipped == skipped
    flags = [row["skipped"] for row in learner.history]
    assert flags == ([False, True, False] if skipped else [None] * 3)
    assert steps == [True, not skipped, True]


def test_the_log_has_a_line_every_half_minute(capsys):
    now = [100.0]
    recipe = SimpleNamespace(batch_size=64, iterations=3000)
    runs: list[Any] = [SimpleNamespace(iteration=0, recipe=recipe, last_loss=None)]
    runs.append(SimpleNamespace(iteration=0, recipe=recipe, last_loss=2.5))
    pace = Pace(lambda: now[0])
    for _ in range(61):
        now[0] += 1
        for run in runs:
            run.iteration += 1
        pace(runs)
        runs[0].last_loss = 1.25
    assert capsys.readouterr().err.splitlines() == [
        f"iteration {done} of 3,000 of 2 runs: loss 1.25 to 2.5, 64 images a second, {left} left"
        for done, left in ((30, "49 min 30 s"), (60, "49 min 00 s"))
    ]
