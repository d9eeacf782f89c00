"""Block guide and MSA guide against the squared L2 distance of the tokens, written out."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.methods import Step, create
from gta.methods.readings import Readings
from tests.methods.conftest import BATCH, DEPTH, PREFIX

READING = {"block_guide": "block_output", "msa_guide": "msa_output"}
PATCHES = 4
TOKENS = {
    "all": range(PREFIX + PATCHES),
    "patches": range(PREFIX, PREFIX + PATCHES),
    "cls": range(1),
}


def squared_distance(target, source, blocks, tokens):
    """Mean over images of the sum over blocks, tokens and channels."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for block in blocks:
        for image in range(BATCH):
            for token in tokens:
                difference = target[block][image, token] - source[block][image, token].detach()
                total = total + (difference**2).sum()
                count += difference.numel()
    return total / BATCH, total / count


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("name", READING)
def test_squared_distance(case, name, tokens):
    target, source = (getattr(readings, READING[name]) for readings in case.everything())
    total, mean = squared_distance(target, source, range(DEPTH), TOKENS[tokens])
    case.check(create(name, tokens=tokens), 0.3, {name: 0.3 * total})
    case.check(create(name, tokens=tokens, reduction="mean"), 0.3, {name: 0.3 * mean})


@pytest.mark.parametrize("name", READING)
def test_the_sum_over_all_blocks_and_tokens_is_the_default(case, name):
    target, source = (getattr(readings, READING[name]) for readings in case.everything())
    total, _ = squared_distance(target, source, range(DEPTH), TOKENS["all"])
    case.check(create(name), 1.0, {name: total})


@pytest.mark.parametrize("name", READING)
def test_chosen_blocks(case, name):
    target, source = (getattr(readings, READING[name]) for readings in case.everything())
    total, _ = squared_distance(target, source, [0], TOKENS["all"])
    case.check(create(name, blocks=[0]), 1.0, {name: total})


@pytest.mark.parametrize("name", READING)
def test_everything_trains_and_both_are_read(case, trained, name):
    method = create(name)
    assert trained(method) == {parameter for parameter, _ in case.target.named_parameters()}
    assert method.taps == method.source_taps
    assert method.weight_decay


@pytest.mark.parametrize("name", READING)
def test_a_step_without_the_readings_is_an_error(case, name):
    with pytest.raises(GtaError, match=f"method {name}: the step lacks a reading"):
        create(name).penalty(Step(case.target, Readings(), Readings(), {}), 1.0)
