"""Taps against the attention matrix computed eagerly from the block's own weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from gta.errors import GtaError
from gta.methods.readings import Readings, TapRequest
from gta.models.taps import Taps, read_source, read_source_each

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_qkv_bias": {"qkv_bias": False},
    "qk_norm": {"qk_norm": True},
    "layer_scale": {"init_values": 0.5},
    "registers": {"reg_tokens": 4},
    "no_embed_class": {"no_embed_class": True},
    "dinov2": {
        "reg_tokens": 4,
        "no_embed_class": True,
        "init_values": 1e-5,
        "num_classes": 0,
        "patch_size": 7,
        "img_size": 28,
    },
    "average_pool": {"global_pool": "avg", "fc_norm": True},
}
EVERYTHING = TapRequest("all", "all", "all", "all", "all", "all", features=True)


def vit(seed: int = 0, **kwargs: Any) -> Any:
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "img_size": 24,
        "patch_size": 8,
        "embed_dim": 24,
        "depth": 3,
        "num_heads": 3,
        "num_classes": 5,
    }
    model = VisionTransformer(**(settings | kwargs)).double().eval()
    for parameter in model.parameters():  # norms and biases start at 1 and 0, which hides mistakes
        nn.init.normal_(parameter, std=0.3)
    return model


def images_for(model: Any, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *model.patch_embed.img_size, dtype=torch.float64)


def tapped(model: Any, images: Tensor, request: TapRequest = EVERYTHING) -> Any:
    """Readings of one forward pass."""
    with Taps(model, request) as taps:
        model(images)
        return taps.take()


def eager(model: Any, images: Tensor) -> Any:
    """Every reading from full attention matrices, head by head."""
    prefix = model.num_prefix_tokens
    rows, pairs, shares, msa_outputs, block_outputs = [], [], [], [], []
    x = model.norm_pre(model._pos_embed(model.patch_embed(images)))
    for block in model.blocks:
        attn, h = block.attn, block.norm1(x)
        dim = h.shape[-1]
        size = dim // attn.num_heads
        weight, bias = attn.qkv.weight, attn.qkv.bias
        bias = torch.zeros(3 * dim, dtype=h.dtype) if bias is None else bias
        outputs, block_rows, block_shares, queries, keys = [], [], [], [], []
        for head in range(attn.num_heads):
            q, k, v = (
                F.linear(h, weight[rows], bias[rows])
                for rows in (
                    slice(part * dim + head * size, part * dim + (head + 1) * size)
                    for part in range(3)
                )
            )
            q, k = attn.q_norm(q), attn.k_norm(k)
            queries.append(q)
            keys.append(k)
            matrix = q @ k.transpose(1, 2) / size**0.5
            block_rows.append(matrix[:, 0])
            block_shares.append(matrix.softmax(-1)[:, 0, prefix:])
            outputs.append(matrix.softmax(-1) @ v)
        msa = attn.proj(torch.cat(outputs, dim=-1))
        x = x + block.ls1(msa)
        x = x + block.ls2(block.mlp(block.norm2(x)))
        rows.append(torch.stack(block_rows, dim=1))
        pairs.append((torch.stack(queries, dim=1), torch.stack(keys, dim=1)))
        shares.append(torch.stack(block_shares, dim=1))
        msa_outputs.append(msa)
        block_outputs.append(x)
    return Readings(
        cls_logits=torch.stack(rows)[..., prefix:],
        cls_attention=torch.stack(shares),
        cls_rows=torch.stack(rows),
        queries_keys=tuple(pairs),
        msa_output=tuple(msa_outputs),
        block_output=tuple(block_outputs),
        features=model.fc_norm(model.pool(model.norm(x))),
        prefix_tokens=prefix,
    )


def assert_same(actual: Readings, expected: Readings) -> None:
    assert actual.prefix_tokens == expected.prefix_tokens
    for kind in (field.name for field in fields(Readings) if field.name != "prefix_tokens"):
        torch.testing.assert_close(getattr(actual, kind), getattr(expected, kind), msg=kind)


@pytest.mark.parametrize("variant", VARIANTS)
def test_readings_equal_the_eager_computation(variant):
    model = vit(**VARIANTS[variant])
    images = images_for(model)
    readings = tapped(model, images)
    patches = model.patch_embed.num_patches
    assert readings.cls_logits.shape == (3, 2, 3, patches)
    assert_same(readings, eager(model, images))
    assert_same(read_source(model, images, EVERYTHING), eager(model, images))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_model_computes_the_same_with_taps(variant):
    model = vit(**VARIANTS[variant]).float()
    images = images_for(model).float()
    plain = model(images)
    with Taps(model, EVERYTHING):
        read = model(images)
    assert torch.equal(plain, read)
    assert torch.equal(plain, model(images))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_attention_stays_fused(monkeypatch):
    fused = Mock(side_effect=F.scaled_dot_product_attention)
    monkeypatch.setattr(F, "scaled_dot_product_attention", fused)
    model = vit()
    tapped(model, images_for(model))
    assert fused.call_count == 3


def test_gradients_equal_those_of_the_eager_computation():
    model = vit(qk_norm=True, reg_tokens=2, init_values=0.5)
    images = images_for(model)
    backbone = [p for name, p in model.named_parameters() if not name.startswith("head.")]

    def gradients(found: Any) -> tuple[Tensor, ...]:
        tensors = [found.cls_logits, found.cls_attention, found.features]
        tensors += [*found.msa_output, *found.block_output]
        return torch.autograd.grad([t.square().sum() for t in tensors], backbone)

    actual, expected = gradients(tapped(model, images)), gradients(eager(model, images))
    torch.testing.assert_close(actual, expected)


def test_chosen_blocks_come_in_ascending_order():
    model = vit()
    images = images_for(model)
    expected = eager(model, images)
    request = TapRequest(cls_logits=(-1, 0)) | TapRequest(cls_logits=(2,), cls_attention=(-1,))
    readings = tapped(model, images, request)
    torch.testing.assert_close(readings.cls_logits, expected.cls_logits[[0, 2]])
    torch.testing.assert_close(readings.cls_attention, expected.cls_attention[[2]])
    assert readings.features is None
    assert readings.msa_output == readings.block_output == ()


def test_union_of_requests():
    everywhere = TapRequest(cls_logits="all") | TapRequest(cls_logits=(1,), features=True)
    assert everywhere == TapRequest(cls_logits="all", features=True)
    assert TapRequest(msa_output=(2, 1)) | TapRequest(msa_output=(1, 0)) == TapRequest(
        msa_output=(0, 1, 2)
    )


def executed(model: nn.Module) -> list[str]:
    """Names of the modules without parts that run from now on."""
    names: list[str] = []
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: names.append(name))
    return names


@pytest.mark.parametrize(
    ("request_", "last", "never"),
    [
        (TapRequest(cls_logits="all"), "blocks.2.attn.k_norm", {"blocks.2.attn.qkv", "norm"}),
        (TapRequest(cls_attention=(1,)), "blocks.1.attn.k_norm", {"blocks.1.attn.qkv"}),
        (TapRequest(msa_output="all"), "blocks.2.attn.proj_drop", {"blocks.2.norm2", "norm"}),
        (TapRequest(block_output=(0,)), "blocks.0.drop_path2", {"blocks.1.norm1"}),
        (TapRequest(features=True), "head_drop", {"head"}),
        (TapRequest("all", features=True), "head_drop", {"head"}),
    ],
)
def test_the_source_stops_at_the_last_tap(request_, last, never):
    model = vit()
    names = executed(model)
    read_source(model, images_for(model), request_)
    assert names[-1] == last
    assert not never & set(names)
    assert names.count(last) == 1


def test_only_the_cls_query_is_computed_in_the_last_block():
    model = vit()
    shapes = {}
    for name in ("q_norm", "k_norm"):
        getattr(model.blocks[2].attn, name).register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)})
        )
    read_source(model, images_for(model), TapRequest(cls_logits="all"))
    assert shapes == {"q_norm": (2, 3, 1, 8), "k_norm": (2, 3, 10, 8)}


def equal(one: Readings, other: Readings) -> bool:
    """Whether two readings are the same, bit for bit."""
    try:
        torch.testing.assert_close(vars(one), vars(other), rtol=0, atol=0)
    except AssertionError:
        return False
    return True


def test_requests_that_share_a_pass_read_what_each_reads_alone():
    model = vit()
    images = images_for(model)
    requests = [
        TapRequest(cls_logits="all"),
        TapRequest(msa_output="all"),
        TapRequest(block_output="all"),
        TapRequest(cls_logits=(0, 1)),
        TapRequest(cls_logits=(1,), cls_attention=(0,)),
        TapRequest(cls_logits=(-1,), block_output=(1,)),
        TapRequest(features=True, cls_logits="all"),
    ]
    passes = []
    model.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    together = read_source_each(model, images, requests * 2)
    assert len(passes) == 3  # to the last block, to the one before it, to the features
    assert together.keys() == set(requests)
    for request in requests:
        assert equal(together[request], read_source(model, images, request)), request


def test_source_readings_are_constants_that_losses_may_save_for_backward():
    source, target = vit(1), vit(2)
    images = images_for(source)
    constant: Any = read_source(source, images, EVERYTHING)
    readings = tapped(target, images)
    pairs = [
        (getattr(readings, kind), getattr(constant, kind))
        for kind in ("cls_logits", "cls_attention", "features")
    ]
    pairs += zip(readings.msa_output, constant.msa_output, strict=True)
    pairs += zip(readings.block_output, constant.block_output, strict=True)
    loss = torch.zeros((), dtype=torch.float64)
    for mine, theirs in pairs:
        assert not theirs.requires_grad
        assert not theirs.is_inference()
        loss = loss + F.mse_loss(mine, theirs) + (mine * theirs).sum()
    loss.backward()
    assert target.blocks[0].attn.qkv.weight.grad is not None
    assert all(parameter.grad is None for parameter in source.parameters())


def test_the_source_is_read_in_evaluation_mode_and_left_as_it_was():
    model = vit(proj_drop_rate=0.5, attn_drop_rate=0.5, drop_path_rate=0.5)
    images = images_for(model)
    expected = eager(model, images)
    model.train()
    assert_same(read_source(model, images, EVERYTHING), expected)
    assert model.training
    assert model.blocks[1].drop_path1.training


def test_autocast_reads_rows_in_float32():
    model = vit().float()
    images = images_for(model).float()
    exact: Any = read_source(model, images, EVERYTHING)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(images).dtype == torch.bfloat16
        readings = tapped(model, images)
        of_source: Any = read_source(model, images, EVERYTHING)
    readings.cls_logits.square().sum().backward()
    for half in (readings, of_source):
        assert half.cls_logits.dtype == half.cls_attention.dtype == torch.float32
        error = (half.cls_logits - exact.cls_logits).norm() / exact.cls_logits.norm()
        assert 0 < error < 0.05
    assert model.blocks[0].attn.qkv.weight.grad.dtype == torch.float32


def test_compiled_model_gives_the_same_readings_and_gradients():
    model = vit(depth=1, qk_norm=True)
    images = images_for(model)
    expected = tapped(model, images)
    with Taps(model, EVERYTHING) as taps:
        torch.compile(model, backend="aot_eager", fullgraph=True)(images)
        actual = taps.take()
    assert_same(actual, expected)
    weight = model.blocks[0].attn.qkv.weight
    gradients = [
        torch.autograd.grad(readings.cls_logits.square().sum(), weight)  # type: ignore[union-attr]
        for readings in (actual, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_readings_are_taken_once():
    model = vit()
    with Taps(model, TapRequest("all", features=True)) as taps:
        with pytest.raises(RuntimeError, match="no forward pass"):
            taps.take()
        model(images_for(model))
        taps.take()
        with pytest.raises(RuntimeError, match="no forward pass"):
            taps.take()


def test_what_cannot_be_read_is_an_error():
    for request in (TapRequest(cls_logits=(3,)), TapRequest(msa_output=(-4,))):
        with pytest.raises(GtaError, match="in a model of 3 blocks"):
            Taps(vit(), request)
    with pytest.raises(GtaError, match="Linear is not a timm VisionTransformer"):
        Taps(nn.Linear(2, 2), EVERYTHING)  # type: ignore[arg-type]
    with pytest.raises(GtaError, match=r"has no \[cls\]"):
        Taps(vit(class_token=False, global_pool="avg"), EVERYTHING)
    checkpointed = vit()
    checkpointed.set_grad_checkpointing()
    with pytest.raises(GtaError, match="gradient checkpointing"):
        Taps(checkpointed, EVERYTHING)
    with pytest.raises(GtaError, match="no reading is requested"):
        read_source(vit(), images_for(vit()), TapRequest())
