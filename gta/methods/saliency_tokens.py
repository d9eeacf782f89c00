"""Saliency-guided tokens: some batches see their salient patches alone until the last block."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from gta.methods.base import Method
from gta.methods.readings import Readings, TapRequest

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SaliencyTokens(Method):
    """A share of the batches pass all blocks but the last with their salient patches alone.

    The last block sees every patch: its embedding, plus what the other blocks made of it where it
    was kept. Tests see all patches. The code of the method is not public; this follows the same
    first author's with eye gaze in the place of saliency, MoMarky/Eye-gaze-Guided-Vision-
    Transformer, but keeps [cls]'s position embedding, which that code leaves out of such batches.

    Attributes:
        keep: share of the patches that are kept, the most salient; the authors keep 64 of 196.
        prob: share of the batches.
        saliency: ``source``, the frozen source's [cls] attention in the last block, mean over
            heads; or ``spectral``, the spectral residual of the image, which needs no source.
    """

    name: ClassVar[str] = "saliency_tokens"
    title: ClassVar[str] = "Saliency-guided tokens"
    reference: ClassVar[str] = (
        "Ma et al., Rectify ViT Shortcut Learning by Visual Saliency, arXiv 2206.08567"
    )

    keep: Annotated[float, Field(gt=0, le=1)] = 64 / 196
    prob: Annotated[float, Field(ge=0, le=1)] = 0.5
    saliency: Literal["source", "spectral"] = "source"

    @property
    def source_taps(self) -> TapRequest | None:
        """The last block's [cls] attention where it is the saliency."""
        return TapRequest(cls_attention=(-1,)) if self.saliency == "source" else None

    def forward(
        self, model: nn.Module, images: Tensor, source: Readings | None, seed: int
    ) -> Tensor | None:
        """Logits from the salient patches, for a share of the seeds.

        Raises:
            GtaError: the model is not a plain ViT.
        """
        self.require_plain(model)
        if random.Random(seed).random() >= self.prob:
            return None
        vit: Any = model
        if self.saliency == "source":
            saliency = self.needed(self.needed(source).cls_attention)[-1].mean(1)
        else:
            from gta.methods._saliency import patch_saliency  # imports torch

            saliency = patch_saliency(images, vit.patch_embed.grid_size)
        kept = saliency.topk(max(1, round(self.keep * saliency.shape[1])), dim=1).indices
        return guided_logits(model, images, kept)


def guided_logits(model: nn.Module, images: Tensor, kept: Tensor) -> Tensor:
    """Logits of a ViT that sees some patches until its last block, and there all of them.

    Args:
        model: a timm ViT.
        images: (B, C, H, W).
        kept: (B, n) indices of patches, in any order.

    Returns:
        (B, K).
    """
    import torch

    vit: Any = model
    x = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    prefix = vit.num_prefix_tokens
    patches = x[:, prefix:]
    index = kept.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    some = torch.cat([x[:, :prefix], patches.gather(1, index)], 1)
    *blocks, last = vit.blocks
    for block in blocks:
        some = block(some)
    every = patches.to(some.dtype).scatter_add(1, index, some[:, prefix:])
    x = last(torch.cat([some[:, :prefix], every], 1))
    logits: Tensor = vit.forward_head(vit.norm(x))
    return logits
