"""Parts that a method adds to a ViT and that stay in its trained weights, found by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gta.methods._prior import PriorAttention, add_prior

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

PRIOR = re.compile(r"blocks\.(\d+)\.attn\.prior\.b2")


def add_parts(model: VisionTransformer, names: Iterable[str]) -> None:
    """Give a plain ViT the parts that weights of these names hold, at their start.

    Args:
        model: its blocks are changed in place.
        names: of all tensors, by timm's names and the parts' own.
    """
    for name in names:
        found = PRIOR.fullmatch(name)
        if found is None or int(found[1]) >= len(model.blocks):
            continue
        if not isinstance(model.blocks[int(found[1])].attn, PriorAttention):
            add_prior(model, int(found[1]))


def parts_of(model: VisionTransformer) -> list[str]:
    """What a model has beside a plain ViT, in words; empty for a plain one."""
    found = any(isinstance(part, PriorAttention) for part in model.modules())
    return ["spatial priors"] if found else []
