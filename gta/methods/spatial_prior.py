"""SP-ViT: attention between patches is scaled by a learned function of their offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from gta.methods.base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SpatialPrior(Method):
    """Logits between patches are multiplied by P_h(r) of their offset r; everything trains.

    P_h(r) = w2_h . ReLU(W1_h r + b1_h) + b2_h per head and block, r in patches. It starts at one,
    so that the model starts as the source. The product is the authors': P above one sharpens
    attention of either sign. Here, unlike there, [cls] is in the sequence from the first block:
    its row and column, and registers', have P = 1, and so GTA's logits are read as ever. The
    prior's parameters do not decay: towards zero, decay would flatten the attention. The trained
    model keeps the prior; it is not a plain ViT of timm.

    Attributes:
        plain_blocks: blocks at the end without a prior; the authors leave out 2 of 16.
    """

    name: ClassVar[str] = "spatial_prior"
    title: ClassVar[str] = "Spatial prior"
    reference: ClassVar[str] = (
        "Zhou et al., SP-ViT: Learning 2D Spatial Priors for Vision Transformers, BMVC 2022"
    )

    plain_blocks: Annotated[int, Field(ge=0, le=1000)] = 2

    def prepare(self, model: nn.Module, seed: int) -> None:
        """Add the priors.

        Raises:
            GtaError: the model is not a plain ViT, or no block is left for a prior.
        """
        import torch

        from gta.methods._prior import add_prior  # imports torch

        self.require_plain(model)
        vit: Any = model
        depth = len(vit.blocks)
        if depth <= self.plain_blocks:
            raise self.error(f"plain_blocks {self.plain_blocks} leaves none of {depth} blocks")
        generator = torch.Generator().manual_seed(seed)
        for block in range(depth - self.plain_blocks):
            add_prior(model, block, generator)

    def decays(self, parameter: str) -> bool:
        """All but the prior's."""
        return ".prior." not in parameter
