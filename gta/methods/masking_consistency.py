"""PACMAC's selection: unlabelled images whose class holds under masks train on their own class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from gta.methods.base import Method, Step, full_precision

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class MaskingConsistency(Method):
    """Semi-supervised: the training images that the rate leaves out are used without labels.

    Each iteration takes as many of them as it has labelled ones. An image's pseudo-label is the
    model's class of its plain view. Its augmented view is seen again through ``views`` disjoint
    sets of patches, dealt out in turn by the last block's [cls] attention. Selected are images
    whose views all give the pseudo-label, and images whose pseudo-label has a softmax above
    ``confidence`` and is given by one view at least; the penalty is lam times the sum of the
    smoothed cross entropy of the last such view, divided by the batch. Gradients pass through that
    view alone. As virajprabhu/PACMAC, whose images without any such view add a constant; PACMAC
    adapts to another domain, which this does not. Costs about 2.5 forward passes and views' share
    of a backward pass. A rate that leaves no image out is refused.

    Attributes:
        views: number of masked views.
        keep: share of the patches that each view shows.
        confidence: see above.
        label_smoothing: of the penalty's cross entropy.
        start: share of the training before the penalty begins, which PACMAC trains on labels.
    """

    name: ClassVar[str] = "masking_consistency"
    title: ClassVar[str] = "Masking consistency"
    reference: ClassVar[str] = (
        "Prabhu et al., Adapting Self-Supervised Vision Transformers by Probing "
        "Attention-Conditioned Masking Consistency, NeurIPS 2022"
    )
    default_lam: ClassVar[float | None] = 0.1
    grid: ClassVar[tuple[float, ...]] = (0.1, 1.0)

    views: Annotated[int, Field(ge=1, le=16)] = 2
    keep: Annotated[float, Field(gt=0, le=1)] = 0.25
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    start: Annotated[float, Field(ge=0, lt=1)] = 0.75

    def __post_init__(self) -> None:
        """Check that the views are disjoint.

        Raises:
            GtaError: they need more patches than there are.
        """
        if self.views * self.keep > 1:
            raise self.error(f"{self.views} views of {self.keep:g} of the patches overlap")

    @property
    def unlabelled(self) -> bool:
        """It is trained on them."""
        return True

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``masking_consistency``.

        Raises:
            GtaError: the model is not a plain ViT.
        """
        import torch
        from torch.nn.functional import cross_entropy

        self.require_plain(step.model)
        plain, augmented = self.needed(step.unlabelled)
        if step.progress < self.start:
            return {"masking_consistency": plain.new_zeros(())}
        with torch.no_grad():
            confidence, wanted = full_precision(step.model(plain)).softmax(1).max(1)
            attention = cls_attention(step.model, augmented)
        logits = torch.stack(
            [
                full_precision(masked_logits(step.model, augmented, kept))
                for kept in masked_views(attention, self.views, self.keep)
            ]
        )
        agrees = logits.argmax(-1) == wanted  # (views, B)
        selected = agrees.all(0) | ((confidence > self.confidence) & agrees.any(0))
        order = torch.arange(1, self.views + 1, device=agrees.device)[:, None]
        last = (agrees * order).argmax(0)
        chosen = logits[last, torch.arange(len(wanted), device=last.device)]
        losses = cross_entropy(
            chosen, wanted, reduction="none", label_smoothing=self.label_smoothing
        )
        return {"masking_consistency": lam * torch.where(selected, losses, 0.0).mean()}


def masked_views(attention: Tensor, views: int, keep: float) -> list[Tensor]:
    """Disjoint sets of patches that are attended about equally.

    View i of k takes ranks 0, k - i, 2 (k - i), … of the patches that no view before it took, by
    falling attention.

    Args:
        attention: (B, N).
        views: k.
        keep: share of the patches in each view; k times it is at most 1.

    Returns:
        k tensors (B, floor(keep N)) of indices.
    """
    import torch

    order = attention.argsort(dim=1, descending=True, stable=True)
    size = max(1, int(keep * order.shape[1]))
    found = []
    for view in range(views):
        ranks = torch.arange(size) * (views - view)
        free = torch.ones(order.shape[1], dtype=torch.bool)
        free[ranks] = False
        found.append(order[:, ranks.to(order.device)])
        order = order[:, free.to(order.device)]
    return found


def masked_logits(model: nn.Module, images: Tensor, kept: Tensor) -> Tensor:
    """Logits (B, K) of a ViT that sees the patches ``kept`` (B, n) of images alone."""
    import torch

    vit: Any = model
    x = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    prefix = vit.num_prefix_tokens
    index = kept.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    x = torch.cat([x[:, :prefix], x[:, prefix:].gather(1, index)], 1)
    logits: Tensor = vit.forward_head(vit.norm(vit.blocks(x)))
    return logits


def cls_attention(model: nn.Module, images: Tensor) -> Tensor:
    """The last block's [cls] attention on the patches, mean over heads, (B, N)."""
    vit: Any = model
    x = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    *blocks, last = vit.blocks
    for block in blocks:
        x = block(x)
    attention = last.attn
    tokens = attention.qkv(last.norm1(x)).unflatten(-1, (3, attention.num_heads, -1))
    query, key, _ = tokens.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query[:, :, :1]), attention.k_norm(key)
    logits = full_precision((query * attention.scale) @ key.transpose(-2, -1))
    shares: Tensor = logits.softmax(-1)[:, :, 0, vit.num_prefix_tokens :].mean(1)
    return shares
