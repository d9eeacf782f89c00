"""MSA guide: the paper's ablation of what to guide (table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gta.methods.base import Step, TokenGuide
from gta.models.taps import TapRequest


@dataclass(frozen=True)
class MSAGuide(TokenGuide):
    """The outputs of multi-head self-attention, after projection, are held near the source's.

    lam * sum over blocks, tokens and channels of the squared difference, mean over the batch.
    """

    name: ClassVar[str] = "msa_guide"

    @property
    def taps(self) -> TapRequest:
        """The outputs of the attention modules."""
        return TapRequest(msa_output=self.blocks)

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``msa_guide``."""
        target, source = step.target, self._needed(step.source)
        distance = self._token_distance(target.msa_output, source.msa_output, target.prefix_tokens)
        return {"msa_guide": lam * distance}
