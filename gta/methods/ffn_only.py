"""FFN only: the MLPs train, the rest of the backbone is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method, is_head


@dataclass(frozen=True)
class FFNOnly(Method):
    """The MLPs, the position embedding and the head train; all else is frozen.

    No public code exists: this is the mirror image of ``attention_only``, ``.mlp.`` in place of
    ``.attn.``.
    """

    name: ClassVar[str] = "ffn_only"
    title: ClassVar[str] = "FFN only"
    reference: ClassVar[str] = (
        "Touvron et al., Three things everyone should know about Vision Transformers, ECCV 2022"
    )
    order: ClassVar[int] = 5

    def trains(self, parameter: str) -> bool:
        """MLPs, position embedding, head."""
        return ".mlp." in parameter or parameter == "pos_embed" or is_head(parameter)
