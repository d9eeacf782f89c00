"""Block guide: the paper's ablation of what to guide (table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gta.methods.base import Step, TokenGuide
from gta.models.taps import TapRequest


@dataclass(frozen=True)
class BlockGuide(TokenGuide):
    """The outputs z' of the transformer blocks are held near the source's.

    lam * sum over blocks, tokens and channels of the squared difference, mean over the batch.
    """

    name: ClassVar[str] = "block_guide"

    @property
    def taps(self) -> TapRequest:
        """The block outputs."""
        return TapRequest(block_output=self.blocks)

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``block_guide``."""
        target, source = step.target, self._needed(step.source)
        distance = self._token_distance(
            target.block_output, source.block_output, target.prefix_tokens
        )
        return {"block_guide": lam * distance}
