"""AttnDistill: the last block's [cls] attention, merged over heads, is kept near the source's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from gta.methods.base import Method, Step, full_precision
from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from torch import Tensor

LEAST, MOST = 1e-5, 0.996  # to which the reference clamps merged attention


@dataclass(frozen=True)
class AttentionDistill(Method):
    """Divergence of merged [cls] attention from the source's, and distance of features.

    Heads are merged by softmax(sum over heads of log attention / temperature) over all tokens,
    clamped and scaled to sum to one; lam * (KL(source || target) + feature * MSE of the head's
    input), means over images. As wangkai930418/attndistill, which weighs them 20 to 1. Source and
    target have the same grid here, so that its resampling of maps falls away.

    Attributes:
        temperature: see above.
        feature: weight of the features' distance beside the divergence.
    """

    name: ClassVar[str] = "attention_distill"
    title: ClassVar[str] = "AttnDistill"
    reference: ClassVar[str] = (
        "Wang et al., Attention Distillation: Self-supervised Vision Transformer Students Need "
        "More Guidance, BMVC 2022"
    )
    default_lam: ClassVar[float | None] = 20.0
    grid: ClassVar[tuple[float, ...]] = (0.2, 2.0, 20.0)

    temperature: Annotated[float, Field(gt=0, le=1e6)] = 20.0
    feature: Annotated[float, Field(ge=0, le=1e6)] = 0.05

    @property
    def taps(self) -> TapRequest:
        """The last block's [cls] row and the features."""
        return TapRequest(cls_rows=(-1,), features=True)

    @property
    def source_taps(self) -> TapRequest:
        """Request the same readings from the source as from the target."""
        return self.taps

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``attention_distill`` and ``feature_distill``."""
        source = self.needed(step.source)
        p, q = (
            self.merged(self.needed(readings.cls_rows)[-1]) for readings in (source, step.target)
        )
        divergence = (p * (p.log() - q.log())).sum(-1).mean()
        features, wanted = (full_precision(self.needed(r.features)) for r in (step.target, source))
        return {
            "attention_distill": lam * divergence,
            "feature_distill": lam * self.feature * (features - wanted).square().mean(),
        }

    def merged(self, rows: Tensor) -> Tensor:
        """Attention merged over heads: logits (B, heads, T) to (B, T), rows that sum to one."""
        logarithms = rows.log_softmax(-1).sum(1)
        weights = (logarithms / self.temperature).softmax(-1).clamp(LEAST, MOST)
        return weights / weights.sum(-1, keepdim=True)
