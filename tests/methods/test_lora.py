"""LoRA: the start, what trains, the update written out, and the merge."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.methods import create
from gta.models.cls_only import forward_of
from tests.methods.conftest import HEADS, WIDTH, small_vit


def test_starts_as_the_source_and_merges_to_a_plain_vit(case):
    model, images = case.target, case.images
    before, names = model(images), [name for name, _ in model.named_parameters()]
    method = create("lora", r=2, targets="all")
    method.prepare(model, 7)
    model.double()
    torch.testing.assert_close(model(images), before, rtol=0, atol=0)
    moved = {name for name, _ in model.named_parameters() if method.trains(name)}
    ends = {f"{part}" for part in ("lora_a", "lora_b", "weight", "bias")}
    assert {name.rsplit(".", 1)[-1] for name in moved} == ends
    assert {name for name in moved if "lora" not in name} == {"head.weight", "head.bias"}
    assert sum("lora_a" in name for name in moved) == 2 * 4
    for name, parameter in model.named_parameters():
        if "lora_b" in name:
            torch.nn.init.normal_(parameter)
    trained, of_cls = model(images), forward_of(model)(images)
    assert (trained - before).abs().max() > 0.01
    torch.testing.assert_close(of_cls, trained)
    method.merge(model)
    torch.testing.assert_close(model(images), trained, rtol=0, atol=1e-12)
    assert {name for name, _ in model.named_parameters()} == {*names}


def test_queries_keys_and_values_have_updates_of_their_own():
    model, plain = small_vit(1), small_vit(1)
    create("lora", r=2, alpha=3.0).prepare(model, 5)
    model.double()
    layer = model.blocks[1].attn.qkv
    update = layer.parametrizations.weight[0]
    assert update.lora_a.shape == (3, 2, WIDTH)
    assert update.lora_a.abs().max() <= WIDTH**-0.5
    torch.nn.init.normal_(update.lora_b)
    for part in range(3):
        rows = slice(part * WIDTH, (part + 1) * WIDTH)
        expected = plain.blocks[1].attn.qkv.weight[rows]
        expected = expected + 1.5 * update.lora_b[part] @ update.lora_a[part]
        torch.testing.assert_close(layer.weight[rows], expected)


def test_the_start_follows_from_the_seed():
    starts = []
    for seed in (1, 1, 2):
        model = small_vit(0)
        create("lora").prepare(model, seed)
        starts.append(model.blocks[0].attn.qkv.parametrizations.weight[0].lora_a)
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_a_rank_above_the_weights_is_refused():
    assert WIDTH % HEADS == 0
    with pytest.raises(GtaError, match=f"lora: rank 13 exceeds a weight's {WIDTH} x {WIDTH}"):
        create("lora", r=13).prepare(small_vit(0), 0)
