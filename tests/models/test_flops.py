"""Operations counted by formula, against torch's count of what really runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gta import methods
from gta.catalog import ACCELERATORS
from gta.methods.readings import TapRequest
from gta.models.cls_only import forward_of
from gta.models.flops import outline, source_flops, training_flops
from gta.models.taps import read_source
from gta.models.vit import create

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def counted(work: Callable[[], Any]) -> int:
    """Operations of matrix products, attention as plain products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.fixture(params=[("vit_mini_patch8", 48), ("vit_small_patch14_dinov2", 28)])
def model(request: pytest.FixtureRequest) -> VisionTransformer:
    architecture, image_size = request.param
    return create(architecture, image_size, num_classes=14)


@pytest.mark.parametrize("name", methods.METHODS)
def test_training_costs_what_torch_counts(model: VisionTransformer, name: str) -> None:
    method = methods.create(name)
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(method.trains(key))
    side = model.patch_embed.img_size[0]
    image = torch.randn(1, 3, side, side)
    request = method.taps or TapRequest()
    for found, run in (
        (training_flops(model, method.trains), model),
        (training_flops(model, method.trains, request), forward_of(model, request)),
    ):
        assert found.forward == counted(partial(run, image))
        assert found.forward + found.backward == counted(lambda: run(image).sum().backward())  # noqa: B023


@pytest.mark.parametrize(
    ("request_", "exact"),
    [
        (TapRequest(features=True), True),
        (TapRequest(block_output="all"), True),
        (TapRequest(block_output=(1,)), True),
        (TapRequest(msa_output=(0, -1)), True),
        # less the [cls] rows that are read
        (TapRequest(cls_logits="all"), False),
        (TapRequest(cls_attention=(0,)), False),
    ],
)
def test_a_source_costs_what_is_read_of_it(
    model: VisionTransformer, request_: TapRequest, exact: bool
) -> None:
    side = model.patch_embed.img_size[0]
    image = torch.randn(1, 3, side, side)
    found = counted(lambda: read_source(model, image, request_))
    assert source_flops(model, request_) == pytest.approx(found, rel=0 if exact else 5e-3)


def test_vit_small_costs_what_is_published() -> None:
    """4.61 GMACs, says timm's benchmark: two operations each."""
    found = training_flops(outline("vit_small_patch16_224", 224, 1000), lambda _: True)
    assert found.forward == pytest.approx(2 * 4.61e9, rel=0.01)
    assert found.backward == pytest.approx(2 * found.forward, rel=0.02)


def test_share_of_the_peak_that_the_catalog_speaks_of() -> None:
    """1,058 training images a second on an RTX 3090 are 41 % of its peak."""
    each = training_flops(outline("vit_small_patch16_224", 224, 1000), lambda _: True)
    peak = ACCELERATORS["rtx3090"].tflops["float16"] * 1e12
    assert 1058 * (each.forward + each.backward) / peak == pytest.approx(0.41, abs=0.005)


def test_an_outline_holds_no_weights() -> None:
    model = outline("vit_small_patch16_224", 224, 10)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
