"""GTA, guided transfer of spatial attention: the paper's method (arXiv 2401.02656, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gta.methods.base import Guide, Step
from gta.models.taps import TapRequest


@dataclass(frozen=True)
class GTA(Guide):
    """The [cls] attention logits are held near the source's.

    Equation 5: lam * sum over blocks and heads of ||a_source - a_target||^2, where a is the [cls]
    row of q k^T / sqrt(d_head) before the softmax, over the patches only; mean over the batch.
    """

    name: ClassVar[str] = "gta"

    @property
    def taps(self) -> TapRequest:
        """The [cls] logits."""
        return TapRequest(cls_logits=self.blocks)

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``gta``."""
        target = self._needed(step.target.cls_logits)  # (M, B, heads, N)
        source = self._needed(self._needed(step.source).cls_logits)
        return {"gta": lam * self._distance([(target, source)], batch=target.shape[1])}
