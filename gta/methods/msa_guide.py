"""MSA guide: the paper's ablation of what to guide (table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gta.methods.base import Step
from gta.methods.guide import TokenGuide
from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MSAGuide(TokenGuide):
    """The outputs of multi-head self-attention, after projection, are kept near the source's.

    lam * sum over blocks, tokens and channels of the squared difference, mean over the batch.
    """

    name: ClassVar[str] = "msa_guide"
    title: ClassVar[str] = "MSA guide"
    reference: ClassVar[str] = "arXiv 2401.02656, table 3"
    order: ClassVar[int] = 8

    @property
    def taps(self) -> TapRequest:
        """The outputs of the attention modules."""
        return TapRequest(msa_output=self.blocks)

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``msa_guide``."""
        target, source = step.target, self.needed(step.source)
        distance = self.token_distance(target.msa_output, source.msa_output, target.prefix_tokens)
        return {"msa_guide": lam * distance}
