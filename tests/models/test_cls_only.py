"""The last block for [cls] alone, against timm's own pass over all tokens."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from gta.methods.readings import Readings, TapRequest
from gta.models.cls_only import forward_cls, forward_of, pools_cls
from gta.models.taps import Taps
from gta.train.microbatch import DropPaths

EVERY = TapRequest(cls_logits="all", cls_attention=(-1,), features=True)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "registers": {"reg_tokens": 2},
    "layer scale": {"init_values": 0.5},
    "norms of queries and keys": {"qk_norm": True},
    "no biases": {"qkv_bias": False, "proj_bias": False},
    "norm before the blocks": {"pre_norm": True},
    "drop path": {"drop_path_rate": 0.5},
}


def vit(**how: Any) -> Any:
    torch.manual_seed(1)
    model = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, num_classes=5, **how
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double()


def passed(model: Any, run: Any, images: Tensor) -> tuple[Tensor, Readings, dict[str, Tensor]]:
    """Logits, readings, and gradients of a loss on all of them."""
    model.zero_grad()
    with Taps(model, EVERY) as taps:
        logits = run(images)
        read = taps.take()
    parts = [logits, read.cls_logits, read.cls_attention, read.features]
    loss = torch.stack([part.sin().sum() for part in parts if part is not None]).sum()
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }
    return logits, read, gradients


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain softmax"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_readings_and_gradients_are_those_of_the_plain_pass(kind, fused):
    model = vit(**KINDS[kind]).train()
    for block in model.blocks:
        block.attn.fused_attn = fused
    if kind == "drop path":
        paths = DropPaths(model)
        paths.draw(5, torch.device("cpu"), seed=3)
        paths.choose(slice(0, 5))
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    run = forward_of(model, EVERY)
    assert run is not model
    expected, found = passed(model, model, images), passed(model, run, images)
    torch.testing.assert_close(found[0], expected[0])
    for name in ("cls_logits", "cls_attention", "features"):
        torch.testing.assert_close(getattr(found[1], name), getattr(expected[1], name))
    torch.testing.assert_close(found[2], expected[2])


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_under_autocast_the_rounding_is_that_of_the_precision(precision):
    model = vit().float()
    images = torch.randn(5, 3, 16, 16)
    exact = model(images)
    with torch.autocast("cpu", precision):
        plain, found = model(images), forward_cls(model, images)
    assert found.dtype == plain.dtype == precision
    assert (found - exact).norm() < 2 * (plain - exact).norm() + 1e-3


def test_compiled_in_one_graph_it_is_the_same():
    model = vit().float()
    run = torch.compile(forward_of(model, EVERY), fullgraph=True, backend="eager")
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(run(images), model(images))


@pytest.mark.parametrize(
    ("how", "request_"),
    [
        ({}, TapRequest(block_output="all")),
        ({}, TapRequest(msa_output=(-1,))),
        ({}, TapRequest(block_output=(2,))),
        ({"global_pool": "avg"}, TapRequest()),
        ({"proj_drop_rate": 0.1}, TapRequest()),
    ],
    ids=["guide", "last attention", "last block", "average", "dropout"],
)
def test_where_all_tokens_matter_the_whole_block_runs(how, request_):
    model = vit(**how)
    assert forward_of(model, request_) is model
    assert forward_of(vit(), TapRequest(block_output=(0, 1))) is not model


def test_other_models_are_left_alone():
    class Another(VisionTransformer):
        pass

    model = copy.deepcopy(vit())
    model.__class__ = Another
    assert not pools_cls(model)
    assert not pools_cls(torch.nn.Linear(2, 2))
