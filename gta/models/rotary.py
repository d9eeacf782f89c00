"""Queries and keys that timm's EVA family rotates by their positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rotated(attention: Any, x: Tensor, rotation: Tensor) -> Tensor:
    """Queries or keys as they enter the attention logits.

    Prefix tokens, [cls] among them, are not rotated (Su et al., RoFormer, arXiv 2104.09864;
    DINOv3, arXiv 2508.10104).

    Args:
        attention: timm's ``EvaAttention`` or ``AttentionRope``.
        x: (B, heads, T, d), after its norm.
        rotation: sines and cosines of the patches, as the module receives them.
    """
    from timm.layers import apply_rot_embed_cat  # seconds to import; loaded where a model exists

    prefix = int(attention.num_prefix_tokens)
    half = bool(getattr(attention, "rotate_half", False))
    patches = apply_rot_embed_cat(x[:, :, prefix:], rotation, half=half)
    return torch.cat([x[:, :, :prefix], patches], dim=2).type_as(x)
