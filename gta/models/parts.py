"""Parts that a method adds to a ViT and that stay in its trained weights, found by their names."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from gta.methods._prior import PriorAttention, add_prior
from gta.methods._saliency import SalientAttention, favour_salient

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

SALIENT = "blocks.0.attn.salient_share"
PRIOR = re.compile(r"blocks\.(\d+)\.attn\.prior\.b2")

WORDS = {PriorAttention: "spatial priors", SalientAttention: "attention to salient patches"}


def add_parts(model: VisionTransformer, names: Collection[str]) -> None:
    """Add the parts that weights of these names hold to a plain ViT, at their start.

    Args:
        model: its blocks are changed in place.
        names: of all tensors, by timm's names and the parts' own.
    """
    if SALIENT in names and not isinstance(model.blocks[0].attn, SalientAttention):
        favour_salient(model, 0.0)  # the share is among the weights
    for name in names:
        found = PRIOR.fullmatch(name)
        if found is None or int(found[1]) >= len(model.blocks):
            continue
        if not isinstance(model.blocks[int(found[1])].attn, PriorAttention):
            add_prior(model, int(found[1]))


def parts_of(model: VisionTransformer) -> list[str]:
    """Description of a model's parts beyond a plain ViT; empty for a plain one."""
    kinds = {type(part) for part in model.modules()}
    return [words for kind, words in WORDS.items() if kind in kinds]
