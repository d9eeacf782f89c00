"""Attention only: the attention modules train, the rest of the backbone is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method, is_head


@dataclass(frozen=True)
class AttentionOnly(Method):
    """The attention modules, the position embedding and the head train; all else is frozen.

    As ``main.py --attn-only`` of facebookresearch/deit: every parameter with ``.attn.`` in its
    name, so also the norms of queries and keys where a model has them, but no LayerNorm, layer
    scale, prefix token or patch embedding.
    """

    name: ClassVar[str] = "attention_only"
    title: ClassVar[str] = "Attention only"
    reference: ClassVar[str] = (
        "Touvron et al., Three things everyone should know about Vision Transformers, ECCV 2022"
    )
    order: ClassVar[int] = 4

    def trains(self, parameter: str) -> bool:
        """Attention, position embedding, head."""
        return ".attn." in parameter or parameter == "pos_embed" or is_head(parameter)
