"""GTA, guided transfer of spatial attention: the paper's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.attention_guide import AttentionGuide


@dataclass(frozen=True)
class GTA(AttentionGuide):
    """The [cls] attention logits are kept near the source's.

    Equation 5: lam * sum over blocks and heads of ||a_source - a_target||^2, where a is the [cls]
    row of q k^T / sqrt(d_head) before the softmax, over the patches only; mean over the batch.
    """

    name: ClassVar[str] = "gta"
    title: ClassVar[str] = "GTA"
    reference: ClassVar[str] = "arXiv 2401.02656, section 3: the paper's method"
    order: ClassVar[int] = 6
