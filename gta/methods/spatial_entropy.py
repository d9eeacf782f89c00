"""Spatial entropy: the [cls] attention of the last block is gathered in few regions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from gta.methods.base import Method, Step
from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SpatialEntropy(Method):
    """The entropy of the [cls] logits over connected regions of the image is lowered.

    Per image and head: patches whose logit exceeds the row's mean form 8-connected regions, each
    with a share p of the excess; the penalty is lam * mean over images and heads of -sum p ln p.
    Needs no source. As ``attention_losses.py`` of helia95/SAR; a row without a patch above its
    mean counts as zero, where that code fails.

    Attributes:
        schedule: of lambda: ``warmup_cosine`` rises linearly from zero, then falls to zero along a
            cosine, as the authors' code does by epochs; ``constant`` leaves it.
        warmup: share of the training in which lambda rises.
    """

    name: ClassVar[str] = "spatial_entropy"
    title: ClassVar[str] = "Spatial entropy"
    reference: ClassVar[str] = (
        "Peruzzo et al., Spatial Entropy as an Inductive Bias for Vision Transformers, "
        "Machine Learning 2024"
    )
    default_lam: ClassVar[float | None] = 0.01
    grid: ClassVar[tuple[float, ...]] = (0.001, 0.01, 0.1)

    schedule: Literal["warmup_cosine", "constant"] = "warmup_cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @property
    def taps(self) -> TapRequest:
        """The last block's [cls] logits."""
        return TapRequest(cls_logits=(-1,))

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``spatial_entropy``."""
        logits = self.needed(step.target.cls_logits)[-1]  # (B, heads, N)
        embed: Any = step.model.patch_embed  # to a type checker, Tensor | Module
        entropy = spatial_entropy(logits.unflatten(-1, embed.grid_size)).mean()
        return {"spatial_entropy": lam * self.share(step.progress) * entropy}

    def share(self, progress: float) -> float:
        """Share of lambda that counts when ``progress`` of the training is done."""
        if self.schedule == "constant":
            return 1.0
        if progress < self.warmup:
            return progress / self.warmup
        return (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup))) / 2


def spatial_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the excess over the mean, by 8-connected regions.

    Args:
        logits: (..., rows, columns).

    Returns:
        (...), zero where no logit exceeds the mean.
    """
    import torch

    excess = (logits - logits.mean((-2, -1), keepdim=True)).flatten(-2)
    above = excess > 0
    weights = torch.where(above, excess + 1e-9, 0.0)  # the reference's offset
    labels = connected_regions(above.unflatten(-1, logits.shape[-2:])).flatten(-2)
    regions = torch.zeros_like(weights).scatter_add(-1, labels, weights)
    total = regions.sum(-1, keepdim=True)
    share = regions / torch.where(total > 0, total, 1.0)
    # ln 1 = 0 stands in for empty regions: the gradient of p ln p at zero is infinite.
    return -(share * torch.where(share > 0, share, 1.0).log()).sum(-1)


def connected_regions(mask: Tensor) -> Tensor:
    """Label the 8-connected regions of many masks at once, on their device.

    Labels spread to neighbours, and each region's root takes the largest label that reached any
    of its members, so that the number of rounds grows with the logarithm of a region's extent.

    Args:
        mask: (..., rows, columns), boolean.

    Returns:
        (..., rows, columns), int64: the flat index of one member of the region, the same for all
        of its members; zero outside.
    """
    import torch
    from torch.nn.functional import max_pool2d

    rows, columns = mask.shape[-2:]
    inside = mask.reshape(-1, rows * columns)
    index = torch.arange(rows * columns, device=mask.device)
    labels = torch.where(inside, index, 0)
    while True:
        # float32 holds integers to 2^24 exactly; max_pool2d takes no integers on a GPU
        spread = max_pool2d(labels.float().view(-1, 1, rows, columns), 3, 1, 1)
        reached = torch.where(inside, spread.flatten(1).long(), 0)
        roots = labels.scatter_reduce(1, labels, reached, "amax")
        new = torch.where(inside, roots.gather(1, roots.gather(1, labels)), 0)
        if torch.equal(new, labels):
            return labels.view(mask.shape)
        labels = new
