"""Backbones without [cls] and with rotary positions: rows against hooked full attention."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gta.errors import GtaError
from gta.methods import TapRequest, create
from gta.methods.base import Step
from gta.models.families import blocks_of, global_blocks, grids_of, map_block, windows_of
from gta.models.flops import outline, source_flops, training_flops
from gta.models.shown import map_grid, map_shares
from gta.models.taps import Taps, read_source
from gta.models.vit import create as create_model
from gta.models.vit import side_of

ROWS = TapRequest(cls_logits="all", cls_attention="all")
BUILT: dict[str, tuple[str, dict[str, Any]]] = {
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 16, "depths": (2, 2, 2), "num_heads": (1, 2, 4), "window_size": 4},
    ),
    "gcvit": ("gcvit_xxtiny", {"embed_dim": 16, "window_ratio": (16, 16, 16, 32)}),
}
SMALL: dict[str, Any] = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
POOLED: dict[str, dict[str, Any]] = {
    "pooled": {"class_token": False, "global_pool": "avg"},
    "pooled_registers": {"class_token": False, "global_pool": "avg", "reg_tokens": 2},
    "pooled_norms": {"class_token": False, "global_pool": "avg", "qk_norm": True},
}
ROTARY: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov3": ("vit_small_patch16_dinov3", {}),
    "eva02": ("eva02_tiny_patch14_224", {"qkv_fused": False}),
    "rope_mixed": ("vit_small_patch16_rope_mixed_224", {}),
    "rope_pooled": ("vit_medium_patch16_rope_reg1_gap_256", {}),
}


def shaken(model: nn.Module) -> Any:
    """A model whose norms and biases are not those of its start."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.double().eval()


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    if name in BUILT:
        architecture, settings = BUILT[name]
        return shaken(timm.create_model(architecture, img_size=64, num_classes=5, **settings))
    if name in POOLED:
        return shaken(VisionTransformer(img_size=32, num_classes=5, **SMALL, **POOLED[name]))
    architecture, settings = ROTARY[name]
    model = timm.create_model(architecture, img_size=32, num_classes=5, **SMALL, **settings)
    return shaken(model)


def images_for(model: Any) -> Tensor:
    side = 64 if hasattr(model, "layers") or hasattr(model, "stages") else 32
    return torch.randn(2, 3, side, side, dtype=torch.float64)


def hooked(model: Any, images: Tensor) -> list[Tensor]:
    """Each block's full logits (B', heads, t, t), from the products that timm's unfused code forms.

    Of windows that a mask parts, -inf where a query may not attend to a key.
    """
    found: list[Tensor] = []
    softmax = Tensor.softmax

    def spy(logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        found.append(logits.detach().clone())
        return softmax(logits, *args, **kwargs)

    attentions = [block.attn for block in blocks_of(model)]
    for attention in attentions:
        attention.fused_attn = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "softmax", spy)
        patch.setattr(nn.Softmax, "forward", lambda _, x: spy(x, dim=-1))
        model(images)
    assert len(found) == len(attentions)
    return found


def to_image(model: Any, block: int, rows: Tensor) -> Tensor:
    """Rows (B W, heads, t) of windows in the image's order, place by place."""
    windows = windows_of(model)[block]
    (rows_, columns), (high, wide), (down, right) = windows.grid, windows.size, windows.shift
    image = rows.new_zeros(2, rows.shape[1], rows_, columns)
    across = columns // wide
    for number, window in enumerate(rows.unflatten(0, (2, -1)).unbind(1)):
        for place in range(high * wide):
            row = number // across * high + place // wide
            column = number % across * wide + place % wide
            image[:, :, (row + down) % rows_, (column + right) % columns] = window[..., place]
    return image.flatten(2)


@pytest.mark.parametrize("name", [*BUILT, *POOLED, *ROTARY])
def test_rows_are_those_of_the_hooked_logits(name: str) -> None:
    model = model_of(name)
    images = images_for(model)
    plain = model(images)
    with Taps(model, ROWS | TapRequest(features=True)) as taps:
        read = model(images)
        readings = taps.take()
    assert torch.equal(plain, read)
    torch.testing.assert_close(model.get_classifier()(readings.features), plain)
    of_source = read_source(model, images, ROWS)
    prefix = getattr(model, "num_prefix_tokens", 0)
    for block, logits in enumerate(hooked(model, images)):
        if readings.cls_logits is not None and readings.cls_attention is not None:
            row, share = readings.cls_logits[block], readings.cls_attention[block]
            expected = logits[:, :, 0, prefix:]
            expected_share = logits.softmax(-1)[:, :, 0, prefix:]
            same = of_source.cls_logits[block]  # type: ignore[index]
        else:
            row, share = readings.pooled_logits[block], readings.pooled_attention[block]
            same = of_source.pooled_logits[block]
            if name in BUILT:
                allowed = logits > logits.amax(-1, keepdim=True) - 50
                count = allowed.sum(-2)
                expected = to_image(model, block, (logits * allowed).sum(-2) / count)
                means = logits.softmax(-1).mean(-2) / windows_of(model)[block].count
                expected_share = to_image(model, block, means)
                assert share.sum(-1).allclose(torch.ones((), dtype=share.dtype))
            else:
                expected = logits[:, :, prefix:, prefix:].mean(2)
                expected_share = logits.softmax(-1)[:, :, prefix:, prefix:].mean(2)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(share, expected_share, rtol=0, atol=1e-5)
        torch.testing.assert_close(same, row)


def test_a_bright_patch_is_found_where_it_lies() -> None:
    """Shifted windows are undone: the key of a patch stands in the row at its place."""
    model = model_of("swin")
    for shifted in (0, 1):
        images = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
        before = read_source(model, images, ROWS).pooled_logits[shifted]
        images[:, :, 4 * 14 : 4 * 15, 4 * 3 : 4 * 4] = 5.0
        if shifted:  # the block before it spreads what is bright over its window
            blocks_of(model)[0].attn.proj.weight.data.zero_()
        before = read_source(model, torch.zeros_like(images), ROWS).pooled_logits[shifted]
        change = (read_source(model, images, ROWS).pooled_logits[shifted] - before).abs()
        assert int(change.sum((0, 1)).argmax()) == 14 * 16 + 3


@pytest.mark.parametrize("name", ["swin", "gcvit", "pooled", "dinov3"])
def test_gta_holds_a_model_to_its_source(name: str) -> None:
    source, target = model_of(name), model_of(name)
    images = images_for(source)
    method = create("gta", reduction="mean")
    constants = read_source(source, images, method.taps)  # type: ignore[arg-type]

    def penalty() -> Tensor:
        with Taps(target, method.taps) as taps:  # type: ignore[arg-type]
            target(images)
            step = Step(target, taps.take(), constants, {})
        return method.penalty(step, 1.0)["gta"]

    zero = penalty()
    zero.backward()
    assert zero.item() < 1e-25  # products of other sizes round otherwise
    parameters = [p for n, p in target.named_parameters() if not n.startswith("head.")]
    assert all(p.grad is None or p.grad.abs().max() < 1e-10 for p in parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.01 * torch.randn_like(parameter))
    before = penalty()
    before.backward()
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad / (1 + parameter.grad.norm()))
    assert penalty() < before


def test_maps_of_windows_are_of_the_finest_block_that_spans_the_image() -> None:
    model = model_of("swin")  # grids 16, 8, 4; windows of 4
    assert [grid[0] for grid in grids_of(model)] == [16, 16, 8, 8, 4, 4]
    assert global_blocks(model) == (4, 5)
    assert map_block(model) == 5
    assert map_grid(model) == (4, 4)
    shares = map_shares(model, images_for(model))
    assert shares.shape == (2, 4, 16)
    assert shares.sum(-1).allclose(torch.ones(()))
    request = TapRequest(cls_logits="global")
    assert len(read_source(model, images_for(model), request).pooled_logits) == 2


def test_what_needs_cls_is_refused_in_one_line() -> None:
    model = model_of("pooled")
    with pytest.raises(GtaError, match=r"row of \[cls\] is asked for, and this VisionTransformer"):
        Taps(model, TapRequest(cls_rows="all"))
    with pytest.raises(GtaError, match="rows are asked for, and those of Swin"):
        Taps(model_of("swin"), TapRequest(queries_keys="all"))
    padded: Any = timm.create_model("swin_tiny_patch4_window7_224", img_size=96)
    with pytest.raises(GtaError, match="windows do not fill Swin"):
        Taps(padded, ROWS)
    pooling = VisionTransformer(img_size=32, class_token=False, global_pool="map", **SMALL)
    with pytest.raises(GtaError, match="pools by attention"):
        Taps(pooling, ROWS)
    Taps(pooling, TapRequest(features=True))


@pytest.mark.parametrize("name", ["swin_mini_patch4", "gcvit_mini", "vit_mini_dinov3_patch8"])
def test_operations_are_counted(name: str) -> None:
    side = side_of(name)
    model = outline(name, side, 5)
    flops = training_flops(model, lambda _: True, ROWS)
    assert 1.8 < flops.backward / flops.forward < 3  # torch counts grouped convolutions twice
    assert 0 < source_flops(create_model(name, side, 5), ROWS) <= flops.forward
