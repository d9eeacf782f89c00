"""Attention gradient rollout: which patches a model's decision rests on.

As ``vit_grad_rollout.py`` of UCDvision/backdoor_transformer, with its two faults set right: each
block's gradients belong to its own attention (there, the first block's to the last), and rows are
normalised to sum to one (there, columns are divided). Numbers differ from that code's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gta.errors import GtaError
from gta.models.families import blocks_of, has_cls, is_windowed, prefix_tokens

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

DROPPED = 0.9  # share of each matrix's entries that are set to zero, the lowest


def can_roll_out(model: VisionTransformer) -> bool:
    """Whether the model's attention is whole matrices with a row of [cls]."""
    return has_cls(model) and not is_windowed(model)


def gradient_rollout(model: VisionTransformer, images: Tensor, dropped: float = DROPPED) -> Tensor:
    """Relevance of each patch to the class with the highest logit.

    Args:
        model: with [cls], in evaluation mode.
        images: (B, 3, S, S), normalised.
        dropped: share of entries that are left out.

    Returns:
        (B, N), at least 0.

    Raises:
        GtaError: the model has no [cls] or attends within windows.
    """
    if not can_roll_out(model):
        raise GtaError(f"rollout: {type(model).__name__} has no matrix of attention with [cls]")
    attentions: list[Tensor] = []

    def keep(_: Any, __: Any, shares: Tensor) -> None:
        attentions.append(shares)

    parts = [block.attn for block in blocks_of(model)]
    fused = [part.fused_attn for part in parts]
    hooks = [part.attn_drop.register_forward_hook(keep) for part in parts]
    try:
        for part in parts:
            part.fused_attn = False  # the matrix is formed, and its dropout shows it
        with torch.enable_grad():
            logits = model(images.detach().requires_grad_())
            gradients = torch.autograd.grad(logits.amax(dim=1).sum(), attentions)
    finally:
        for hook, part, was in zip(hooks, parts, fused, strict=True):
            hook.remove()
            part.fused_attn = was
    matrices = [a.detach() * g for a, g in zip(attentions, gradients, strict=True)]
    return rolled_out([m.mean(dim=1) for m in matrices], dropped)[:, prefix_tokens(model) :]


def rolled_out(matrices: Sequence[Tensor], dropped: float = DROPPED) -> Tensor:
    """The [cls] row of the product over blocks, from the last to the first.

    Each matrix loses its negative and its lowest entries; half of it and half of the identity,
    its rows scaled to sum to one, is a block's factor.

    Args:
        matrices: of each block, (B, T, T).
        dropped: share of entries that are left out.

    Returns:
        (B, T).
    """
    tokens = matrices[0].shape[-1]
    identity = torch.eye(tokens).to(matrices[0])
    row = identity[:1].expand(len(matrices[0]), 1, tokens)
    for matrix in reversed(matrices):
        kept = matrix.clamp(min=0).flatten(1)
        lowest = kept.topk(int(dropped * kept.shape[1]), dim=1, largest=False).indices
        kept = kept.scatter(1, lowest, 0.0).view_as(matrix)
        factor = (kept + identity) / 2
        row = row @ (factor / factor.sum(dim=-1, keepdim=True))
    return row.squeeze(1)
