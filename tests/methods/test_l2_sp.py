"""L2-SP against the formulas of thuml/Transfer-Learning-Library, written out."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.methods import Step, create
from gta.methods.readings import Readings


def naive(case, trainable=lambda name: True):
    """Half the squared distance of the backbone to the source, half the head's squared norm."""
    source = dict(case.source.named_parameters())
    backbone = head = torch.zeros((), dtype=torch.float64)
    for name, parameter in case.target.named_parameters():
        if name in ("head.weight", "head.bias"):
            head = head + 0.5 * torch.norm(parameter) ** 2
        elif trainable(name):
            backbone = backbone + 0.5 * torch.norm(parameter - source[name].detach()) ** 2
    return backbone, head


@pytest.mark.parametrize("lam", [0.001, 0.1])
def test_distance_and_norm(case, lam):
    backbone, head = naive(case)
    case.check(create("l2_sp"), lam, {"l2_sp": lam * backbone, "l2_head": 0.01 * head})


def test_weight_of_the_head_is_a_setting(case):
    backbone, head = naive(case)
    case.check(create("l2_sp", head=0.5), 0.01, {"l2_sp": 0.01 * backbone, "l2_head": 0.5 * head})


def test_frozen_parameters_do_not_count(case):
    case.target.pos_embed.requires_grad_(False)
    backbone, _ = naive(case, trainable=lambda name: name != "pos_embed")
    terms = create("l2_sp").penalty(case.step(create("l2_sp")), 1.0)
    torch.testing.assert_close(terms["l2_sp"], backbone)


def test_at_the_source_only_the_head_is_drawn(case):
    case.target.load_state_dict(case.source.state_dict())
    terms = create("l2_sp").penalty(case.step(create("l2_sp")), 0.01)
    assert terms["l2_sp"] == 0
    gradients = torch.autograd.grad(
        sum(terms.values(), torch.zeros(())), list(case.target.parameters())
    )
    for (name, parameter), gradient in zip(case.target.named_parameters(), gradients, strict=True):
        expected = 0.01 * parameter if name.startswith("head.") else torch.zeros_like(parameter)
        torch.testing.assert_close(gradient, expected.detach())


def test_everything_trains_without_the_optimisers_decay(case, trained):
    method = create("l2_sp")
    assert trained(method) == {name for name, _ in case.target.named_parameters()}
    assert not method.weight_decay
    assert method.taps is None
    assert method.source_taps is None


def test_a_source_that_lacks_a_parameter_is_an_error(case):
    weights = {name: p.detach() for name, p in case.source.named_parameters()}
    del weights["blocks.1.mlp.fc1.weight"]
    step = Step(case.target, Readings(), None, weights)
    with pytest.raises(GtaError, match=r"l2_sp: the source has no parameter blocks.1.mlp.fc1"):
        create("l2_sp").penalty(step, 0.01)
