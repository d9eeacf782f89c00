"""Vision transformers by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gta.catalog import ARCHITECTURES
from gta.errors import GtaError
from gta.models.families import image_side, is_windowed
from gta.models.vit import create, initialise_head, patch_of

SIDES = {
    "vit_mini_patch8": 24,
    "vit_mini_patch16": 32,
    "vit_small_patch16_224": 32,
    "vit_small_moco_patch16_224": 32,
    "vit_tiny_sdssl_patch16_224": 32,
    "vit_base_pooled_patch16_224": 32,
    "vit_small_patch14_dinov2": 28,
    "vit_small_patch16_dinov3": 32,
    "vit_mini_pooled_patch8": 24,
    "vit_mini_dinov3_patch8": 24,
    "swin_mini_patch4": 48,
    "gcvit_mini": 32,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_built_at_any_size_of_whole_patches(architecture):
    side = SIDES[architecture]
    model: Any = create(architecture, side, num_classes=5)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 5)
    assert image_side(model) == side
    if not is_windowed(model):
        assert model.patch_embed.num_patches == (side // patch_of(model)) ** 2


def test_the_papers_model():
    """ViT-S/16: 384 wide, 12 blocks of 6 heads, LayerNorm's epsilon as iBOT's and DINO's."""
    model: Any = create("vit_small_patch16_224", 224, num_classes=0)
    assert (model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads) == (384, 12, 6)
    assert model.norm.eps == 1e-6
    assert model.blocks[0].attn.qkv.bias is not None
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_665_664


def test_no_classes_is_no_head():
    model: Any = create("vit_mini_patch8", 16, num_classes=0)
    assert isinstance(model.head, nn.Identity)
    assert not [name for name in model.state_dict() if name.startswith("head.")]


def test_drop_path_grows_with_depth():
    model: Any = create("vit_mini_patch8", 16, num_classes=2, drop_path=0.3)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in model.blocks]
    assert rates == pytest.approx(torch.linspace(0, 0.3, len(rates)).tolist())


@pytest.mark.parametrize(
    ("architecture", "side", "message"),
    [
        ("vit_mini", 16, "no architecture 'vit_mini'; known: vit_mini_patch8, "),
        ("vit_mini_patch8", 20, "image_size 20 is not a multiple of vit_mini_patch8's patch, 8"),
        ("vit_small_patch14_dinov2", 232, "image_size 232 is not a multiple of "),
    ],
)
def test_what_cannot_be_built_is_an_error(architecture, side, message):
    with pytest.raises(GtaError) as raised:
        create(architecture, side, num_classes=2)
    assert str(raised.value).startswith(message)


def test_the_head_follows_from_the_seed_alone():
    models: list[Any] = [create("vit_mini_patch8", 16, num_classes=50) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(3)  # whatever was drawn before
        initialise_head(model, std=0.02, seed=seed)
        assert model.head.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not model.head.bias.any()
    assert torch.equal(models[0].head.weight, models[1].head.weight)
    assert not torch.equal(models[0].head.weight, models[2].head.weight)


def test_a_standard_deviation_of_zero_is_a_head_of_zeros():
    model: Any = create("vit_mini_patch8", 16, num_classes=2)
    nn.init.ones_(model.head.weight)
    initialise_head(model, std=0.0, seed=0)
    assert not model.head.weight.any()
