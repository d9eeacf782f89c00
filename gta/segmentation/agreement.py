"""Masks from [cls] attention, and how well they agree with the object masks.

Shapes: B images, H heads, N patches of a last block; masks of h x w pixels at the model's image
size. A mask of patches upsampled to pixels (nearest) has the same intersection with an object as
the patches have with the object's coverage of them, so all areas are taken in patches and no
mask is upsampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gta.errors import GtaError

BACKGROUND, VOID = 0, 255  # of class maps, as PASCAL VOC writes them


@dataclass(frozen=True)
class Protocol:
    """How a mask is made from attention and held against the objects.

    Attributes:
        name: as tables show it.
        mass: share of each head's attention that the mask keeps, in (0, 1].
        heads: ``best`` takes each object's best head (an oracle), ``mean`` the mean over heads.
        ignore_void: whether void pixels count neither as mask nor as background. The public
            code of both presets means to leave them out but counts them as background.
    """

    name: str
    mass: float
    heads: Literal["best", "mean"] = "best"
    ignore_void: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.mass <= 1:
            raise GtaError(f"protocol {self.name}: mass {self.mass:g} is not in (0, 1]")


# evaluate_segmentation.py of Muzammal-Naseer/IPViT and of helia95/SAR; 0.6 is DINO's as well
PROTOCOLS: MappingProxyType[str, Protocol] = MappingProxyType(
    {"sar": Protocol("sar", 0.6), "ipvit": Protocol("ipvit", 0.9)}
)


def patch_grid(patches: int) -> tuple[int, int]:
    """Rows and columns of the patches of a square image.

    Raises:
        GtaError: if the number is not a square.
    """
    side = math.isqrt(patches)
    if side * side != patches:
        raise GtaError(f"{patches} patches do not make a square image; name their grid")
    return side, side


def patch_coverage(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """The share of each patch that a mask covers.

    Args:
        masks: (B, h, w), bool or in [0, 1].
        grid: rows and columns of the patches; they divide h and w.

    Returns:
        (B, N) float32, patches row by row.

    Raises:
        GtaError: if the grid does not divide the mask.
    """
    height, width = masks.shape[-2:]
    if height % grid[0] or width % grid[1]:
        raise GtaError(
            f"masks of {height} x {width} pixels cannot be cut into {grid[0]} x {grid[1]} patches; "
            "bring them to the model's image size"
        )
    kernel = (height // grid[0], width // grid[1])
    return F.avg_pool2d(masks.float().unsqueeze(1), kernel).flatten(1)


def attention_mass(
    cls_logits: Tensor, masks: Tensor, grid: tuple[int, int] | None = None
) -> Tensor:
    """Share of the [cls] attention on the object, mean over heads.

    The attention is the softmax over the patches alone; a patch that the object covers in
    part counts for that part.

    Args:
        cls_logits: (B, H, N) scaled logits of the [cls] query to the patches, before softmax.
        masks: (B, h, w) object masks, bool or in [0, 1].
        grid: rows and columns of the patches; default square.

    Returns:
        (B,) float32 in [0, 1].

    Raises:
        GtaError: if the patches do not fit the masks.
    """
    coverage = patch_coverage(masks, grid or patch_grid(cls_logits.shape[-1]))
    return torch.einsum("bhn,bn->bh", cls_logits.float().softmax(dim=-1), coverage).mean(dim=1)


def kept_patches(cls_logits: Tensor, mass: float) -> Tensor:
    """The smallest set of patches that holds a share of each head's attention.

    Args:
        cls_logits: (B, H, N) logits before softmax.
        mass: the share, in (0, 1].

    Returns:
        (B, H, N) bool.
    """
    attention, order = cls_logits.double().softmax(dim=-1).sort(dim=-1, descending=True)
    stronger = attention.cumsum(dim=-1) - attention
    return torch.zeros_like(order, dtype=torch.bool).scatter(-1, order, stronger < mass)


def jaccard(
    cls_logits: Tensor,
    labels: Tensor,
    protocol: Protocol,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Jaccard index of the thresholded attention, mean over the classes present in an image.

    Args:
        cls_logits: (B, H, N) logits before softmax.
        labels: (B, h, w) object masks (bool), or class maps (integer; 0 background, 255 void).
        protocol: threshold, head rule and treatment of void pixels.
        grid: rows and columns of the patches; default square.

    Returns:
        (B,) float32 in [0, 1]; NaN where an image shows no object.

    Raises:
        GtaError: if the patches do not fit the masks.
    """
    grid = grid or patch_grid(cls_logits.shape[-1])
    kept = kept_patches(cls_logits, protocol.mass)
    counted = _counted(labels, protocol, grid)
    total, classes = torch.zeros(2, len(labels))
    for label in _classes(labels):
        covered = patch_coverage(labels == label, grid)
        heads = _iou(kept, covered, counted)
        score = heads.amax(dim=1) if protocol.heads == "best" else heads.mean(dim=1)
        present = covered.sum(dim=1) > 0
        total += torch.where(present, score, 0.0).cpu()
        classes += present.cpu()
    return total / classes


def matched_jaccard(
    cls_logits: Tensor,
    labels: Tensor,
    protocol: Protocol,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Jaccard index of as many patches as the object has, the strongest in the mean of heads.

    Unlike a mask that holds a share of the attention, it cannot gain from attention that
    merely spreads. All objects of an image are taken together; their area is rounded to whole
    patches, one at least.

    Args and errors as in ``jaccard``; of the protocol only the treatment of void counts.

    Returns:
        (B,) float32 in [0, 1]; NaN where an image shows no object.
    """
    grid = grid or patch_grid(cls_logits.shape[-1])
    covered = patch_coverage(foreground(labels), grid)
    area = covered.sum(dim=1, keepdim=True)
    strength = cls_logits.double().softmax(dim=-1).mean(dim=1)
    rank = strength.argsort(dim=-1, descending=True).argsort(dim=-1)
    kept = rank < area.round().clamp(min=1)
    score = _iou(kept.unsqueeze(1), covered, _counted(labels, protocol, grid)).squeeze(1)
    return torch.where(area.squeeze(1) > 0, score, torch.nan).cpu()


def _iou(kept: Tensor, covered: Tensor, counted: Tensor) -> Tensor:
    """Intersection over union of patches (B, K, N) and an object's coverage (B, N): (B, K)."""
    kept = kept.float()
    both = torch.einsum("bkn,bn->bk", kept, covered)
    mask = torch.einsum("bkn,bn->bk", kept, counted)
    return both / (mask + covered.sum(dim=1, keepdim=True) - both)


def _counted(labels: Tensor, protocol: Protocol, grid: tuple[int, int]) -> Tensor:
    """The share of each patch that counts as mask when it is kept, (B, N)."""
    if labels.dtype == torch.bool or not protocol.ignore_void:
        return patch_coverage(torch.ones_like(labels), grid)
    return patch_coverage(labels != VOID, grid)


def foreground(labels: Tensor) -> Tensor:
    """All objects of class maps (integer, or bool already) as one mask, same shape, bool."""
    if labels.dtype == torch.bool:
        return labels
    return (labels != BACKGROUND) & (labels != VOID)


def _classes(labels: Tensor) -> list[int]:
    if labels.dtype == torch.bool:
        return [1]
    return [label for label in labels.unique().tolist() if label not in (BACKGROUND, VOID)]
