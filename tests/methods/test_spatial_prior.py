"""SP-ViT's prior: the reference's numbers, its formula pair by pair, the start, the round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gta.errors import GtaError
from gta.methods import TapRequest, create
from gta.methods._prior import PriorAttention, SpatialPrior
from gta.models.parts import add_parts, parts_of
from gta.models.sources import load_backbone
from gta.models.taps import read_source
from gta.study import Recipe
from gta.train.schedule import build_optimiser
from tests.methods.conftest import DEPTH, PREFIX, small_vit


def fill(prior: SpatialPrior) -> None:
    """The weights of the reference run, by hidden unit k."""
    k = torch.arange(prior.w2.numel(), dtype=prior.w2.dtype)
    with torch.no_grad():
        prior.w1.weight.copy_(0.5 * torch.stack([(k + 1).sin(), (k + 1).cos()], 1))
        prior.w1.bias.copy_(0.1 * (2 * k).sin())
        prior.w2.copy_((0.2 * (3 * k).cos()).view_as(prior.w2))


def pair(prior: SpatialPrior, head: int, i: int, j: int) -> Tensor:
    """P_h(i, j) for one pair of patches."""
    columns = prior.grid[1]
    r = torch.tensor([j % columns - i % columns, j // columns - i // columns]).to(prior.w2)
    width = prior.w2.shape[1]
    rows = slice(head * width, (head + 1) * width)
    hidden = (prior.w1.weight[rows] @ r + prior.w1.bias[rows]).clamp_min(0)
    return prior.w2[head] @ hidden + prior.b2[head]


def test_numbers_of_the_reference():
    prior = SpatialPrior(8, 2, (3, 3), None)
    fill(prior)
    found = prior()
    assert found.shape == (2, 9, 9)
    assert found.sum().item() == pytest.approx(162.08507, rel=1e-6)
    expected = torch.tensor([0.981996, 0.976123, 0.982817])
    torch.testing.assert_close(found[0, 0, :3], expected, atol=1e-6, rtol=0)
    assert found[1, 4, 8].item() == pytest.approx(0.985555, abs=1e-6)


def test_every_pair_of_a_grid_that_is_not_square():
    prior = SpatialPrior(6, 3, (2, 5), None)
    fill(prior)
    found = prior()
    for head, i, j in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        torch.testing.assert_close(found[head, i, j], pair(prior, head, i, j))
    assert SpatialPrior(6, 3, (14, 14), None).offsets.shape == (27, 27, 2)


def test_the_start_is_the_source_and_only_the_last_layer_has_a_gradient(case):
    for block in case.target.blocks:
        block.attn.fused_attn = False  # whose rounding is its own
    before = case.target(case.images)
    create("spatial_prior", plain_blocks=0).prepare(case.target, 3)
    case.target.double()
    logits = case.target(case.images)
    torch.testing.assert_close(logits, before, rtol=0, atol=0)
    logits.square().sum().backward()
    prior: Any = case.target.blocks[0].attn.prior
    assert not prior.w1.weight.grad.any()
    assert not prior.w1.bias.grad.any()
    assert prior.w2.grad.any()
    assert prior.b2.grad.any()


def test_patches_alone_are_scaled_and_the_cls_row_is_read_as_ever(case):
    attention: Any = case.target.blocks[0].attn
    x = torch.randn(2, PREFIX + 4, attention.attn_dim, dtype=torch.float64)
    query, key, value = attention.qkv(x).unflatten(-1, (3, 3, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    logits = query @ key.transpose(-2, -1) * attention.scale
    create("spatial_prior", plain_blocks=1).prepare(case.target, 3)
    assert isinstance(attention, PriorAttention)
    attention.double()
    fill(attention.prior)
    logits[..., PREFIX:, PREFIX:] *= attention.prior()
    mixed = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), attention.proj(mixed))
    plain = small_vit(1)
    request = TapRequest(cls_logits=(0,))
    found, expected = (
        read_source(model, case.images, request).cls_logits for model in (case.target, plain)
    )
    assert found is not None
    assert expected is not None
    torch.testing.assert_close(found, expected)


def test_trained_weights_find_their_prior_again(case):
    create("spatial_prior", plain_blocks=1).prepare(case.target, 3)
    case.target.double()
    fill(case.target.blocks[0].attn.prior)
    copy = small_vit(2)
    assert parts_of(copy) == []
    weights = case.target.state_dict()
    load_backbone(copy, weights, Path("w"))
    assert parts_of(copy) == ["spatial priors"]
    add_parts(copy, weights)  # a part that is there stays as it is
    copy.load_state_dict(weights)
    torch.testing.assert_close(copy.double()(case.images), case.target(case.images))


def test_the_prior_does_not_decay():
    recipe = Recipe(
        architecture="vit_mini_patch8",
        image_size=16,
        batch_size=1,
        iterations=1,
        lr=1e-3,
        weight_decay=0.3,
    )
    model, method = small_vit(1), create("spatial_prior", plain_blocks=0)
    method.prepare(model, 0)
    optimiser = build_optimiser(model, method, recipe)
    decays: dict[nn.Parameter, float] = {
        parameter: group["weight_decay"]
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        large = parameter.ndim > 1 and name not in ("cls_token", "pos_embed", "reg_token")
        assert decays[parameter] == (0.3 if large and "prior" not in name else 0.0), name


def test_blocks_must_be_left():
    with pytest.raises(GtaError, match=f"plain_blocks 2 leaves none of {DEPTH} blocks"):
        create("spatial_prior").prepare(small_vit(0), 0)
