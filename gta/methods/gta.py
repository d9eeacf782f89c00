"""GTA, guided transfer of spatial attention: the paper's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gta.methods.base import Step
from gta.methods.guide import Guide
from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GTA(Guide):
    """The [cls] attention logits are kept near the source's.

    Equation 5: lam * sum over blocks and heads of ||a_source - a_target||^2, where a is the [cls]
    row of q k^T / sqrt(d_head) before the softmax, over the patches only; mean over the batch.
    """

    name: ClassVar[str] = "gta"
    title: ClassVar[str] = "GTA"
    reference: ClassVar[str] = "arXiv 2401.02656, section 3: the paper's method"
    order: ClassVar[int] = 6

    @property
    def taps(self) -> TapRequest:
        """The [cls] logits."""
        return TapRequest(cls_logits=self.blocks)

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``gta``."""
        target = self.needed(step.target.cls_logits)  # (M, B, heads, N)
        source = self.needed(self.needed(step.source).cls_logits)
        return {"gta": lam * self.distance([(target, source)], batch=target.shape[1])}
