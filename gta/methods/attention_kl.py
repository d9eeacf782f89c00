"""Attention transfer: the softmaxed attention rows are kept near the source's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.attention_guide import AttentionGuide, Distance


@dataclass(frozen=True)
class AttentionKL(AttentionGuide):
    """KL(source || target) of attention rows, mean over images and heads, summed over blocks.

    With ``rows: all`` this is attention distillation of alexlioralexli/attention-transfer (there
    trained from scratch, weight 3) less the source's entropy, which has no gradient.
    """

    name: ClassVar[str] = "attention_kl"
    title: ClassVar[str] = "Attention KL"
    reference: ClassVar[str] = (
        "Li et al., On the Surprising Effectiveness of Attention Transfer for Vision "
        "Transformers, NeurIPS 2024"
    )
    default_lam: ClassVar[float | None] = 3.0
    grid: ClassVar[tuple[float, ...]] = (0.03, 0.3, 3.0)

    distance: Distance = "kl"
