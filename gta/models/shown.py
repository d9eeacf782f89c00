"""The attention that maps show and masks are held against: of [cls], or of the mean query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gta.methods.readings import Readings, TapRequest
from gta.models.families import grids_of, has_cls, is_windowed, map_block
from gta.models.taps import read_source

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def shown_block(model: VisionTransformer, block: int = -1) -> int:
    """The block that is meant: -1 is the last, or ``map_block`` of a model of windows."""
    return map_block(model) if block == -1 and is_windowed(model) else block


def map_grid(model: VisionTransformer, block: int = -1) -> tuple[int, int]:
    """Rows and columns of a block's map."""
    return grids_of(model)[shown_block(model, block)]


def map_shares(model: VisionTransformer, images: Tensor, block: int = -1) -> Tensor:
    """Attention after the softmax, in float32.

    Args:
        model: of one of the ``families``.
        images: (B, 3, S, S), normalised, on the model's device.
        block: as ``shown_block``.

    Returns:
        (B, heads, N): shares of [cls] for each patch; without [cls], means over queries.

    Raises:
        GtaError: if the model cannot be read or has no such block.
    """
    request = TapRequest(cls_attention=(shown_block(model, block),))
    readings = read_source(model, images, request)
    if readings.cls_attention is not None:
        return readings.cls_attention[0].float()
    return readings.pooled_attention[0].float()


def mask_request(model: VisionTransformer) -> TapRequest:
    """Request the readings for ``mask_logits``."""
    if has_cls(model):
        return TapRequest(cls_logits=(-1,))
    return TapRequest(cls_attention=(shown_block(model),))


def mask_logits(readings: Readings) -> Tensor:
    """Logits (B, heads, N) whose softmax over patches is the map that masks are held against.

    Of [cls], its own; without [cls] the logarithm of the mean over queries of the softmax.
    """
    if readings.cls_logits is not None:
        return readings.cls_logits[0]
    (shares,) = readings.pooled_attention
    return shares.clamp_min(torch.finfo(shares.dtype).tiny).log()
