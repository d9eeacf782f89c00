"""Masks from [cls] attention, and how well they agree with the object masks.

Shapes: B images, H heads, K classes, N patches of a last block; masks of h x w pixels at the
model's image size. A mask of patches upsampled to pixels (nearest) has the same intersection with
an object as the patches have with the object's coverage of them, so all areas are taken in
patches and no mask is upsampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gta.catalog import Protocol
from gta.errors import GtaError

BACKGROUND, VOID = 0, 255  # of class maps, as PASCAL VOC writes them

Grid = tuple[int, int]  # rows and columns of the patches


@dataclass(frozen=True)
class Objects:
    """Share of each patch that the objects of some images cover.

    Attributes:
        classes: (B, K, N) share that each class covers; 0 throughout where an image lacks it.
        void: (B, N) share that is void.
    """

    classes: Tensor
    void: Tensor

    def __getitem__(self, images: slice) -> Objects:
        return Objects(self.classes[images], self.void[images])

    def to(self, device: torch.device) -> Objects:
        """Copy to another device."""
        return Objects(self.classes.to(device), self.void.to(device))

    @property
    def foreground(self) -> Tensor:
        """Share of each patch that any object covers, (B, N)."""
        return self.classes.sum(dim=1)

    @property
    def joined(self) -> Objects:
        """All objects of an image as one class."""
        return Objects(self.foreground.unsqueeze(1), self.void)


def patch_grid(patches: int) -> Grid:
    """Rows and columns of the patches of a square image.

    Raises:
        GtaError: if the number is not a square.
    """
    side = math.isqrt(patches)
    if side * side != patches:
        raise GtaError(f"{patches} patches do not make a square image; name their grid")
    return side, side


def patch_coverage(masks: Tensor, grid: Grid) -> Tensor:
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


def objects_of(labels: Tensor, grid: Grid, classes: Sequence[int] | None = None) -> Objects:
    """Return the share of each patch that each object covers.

    Args:
        labels: (B, h, w) object masks (bool), or class maps (integer; 0 background, 255 void).
        grid: rows and columns of the patches; they divide h and w.
        classes: class ids, in the order of K; default those present.

    Raises:
        GtaError: if the grid does not divide the maps.
    """
    if labels.dtype == torch.bool:
        covered = patch_coverage(labels, grid)
        return Objects(covered.unsqueeze(1), torch.zeros_like(covered))
    if classes is None:
        classes = [label for label in labels.unique().tolist() if label not in (BACKGROUND, VOID)]
    void = patch_coverage(labels == VOID, grid)
    shares = void.new_zeros(len(labels), len(classes), void.shape[1])
    for image, own in zip(shares, labels, strict=True):
        # few of the classes are in any one image
        for label in set(classes).intersection(own.unique().tolist()):
            image[classes.index(label)] = patch_coverage(own[None] == label, grid)[0]
    return Objects(shares, void)


def attention_mass(cls_logits: Tensor, masks: Tensor | Objects, grid: Grid | None = None) -> Tensor:
    """Share of the [cls] attention on the object, mean over heads.

    The attention is the softmax over the patches alone; a patch that the object covers in
    part counts for that part.

    Args:
        cls_logits: (B, H, N) scaled logits of the [cls] query to the patches, before softmax.
        masks: (B, h, w) object masks, bool or in [0, 1]; or what ``objects_of`` made of them.
        grid: rows and columns of the patches; default square.

    Returns:
        (B,) float32 in [0, 1].

    Raises:
        GtaError: if the patches do not fit the masks.
    """
    if isinstance(masks, Objects):
        coverage = masks.foreground
    else:
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
    labels: Tensor | Objects,
    protocol: Protocol,
    grid: Grid | None = None,
) -> Tensor:
    """Jaccard index of the thresholded attention, mean over the classes present in an image.

    Args:
        cls_logits: (B, H, N) logits before softmax.
        labels: (B, h, w) object masks (bool), or class maps (integer; 0 background, 255 void);
            or what ``objects_of`` made of them.
        protocol: threshold, head rule and treatment of void pixels.
        grid: rows and columns of the patches; default square.

    Returns:
        (B,) float32 in [0, 1]; NaN where an image shows no object.

    Raises:
        GtaError: if the patches do not fit the masks.
    """
    objects = _objects(labels, grid, cls_logits)
    index = overlap(kept_patches(cls_logits, protocol.mass), objects, protocol)
    score = index.amax(dim=2) if protocol.heads == "best" else index.mean(dim=2)
    present = objects.classes.sum(dim=2) > 0
    return torch.where(present, score, 0.0).sum(dim=1) / present.sum(dim=1)


def matched_jaccard(
    cls_logits: Tensor,
    labels: Tensor | Objects,
    protocol: Protocol,
    grid: Grid | None = None,
) -> Tensor:
    """Jaccard index of as many patches as the object has, the strongest in the mean of heads.

    Unlike a mask that holds a share of the attention, it cannot gain from attention that
    merely spreads. All objects of an image are taken together; their area is rounded to whole
    patches, one at least.

    Args and errors as in ``jaccard``; of the protocol only the treatment of void counts.

    Returns:
        (B,) float32 in [0, 1]; NaN where an image shows no object.
    """
    objects = _objects(labels, grid, cls_logits).joined
    area = objects.classes.sum(dim=2)
    strength = cls_logits.double().softmax(dim=-1).mean(dim=1)
    rank = strength.argsort(dim=-1, descending=True).argsort(dim=-1)
    kept = rank < area.round().clamp(min=1)
    score = overlap(kept.unsqueeze(1), objects, protocol).flatten()
    return torch.where(area.squeeze(1) > 0, score, torch.nan)


def overlap(kept: Tensor, objects: Objects, protocol: Protocol) -> Tensor:
    """Intersection over union of masks of patches with each class of their image.

    Args:
        kept: (B, M, N) bool, M masks an image.
        objects: what the patches show.
        protocol: whether void counts as mask.

    Returns:
        (B, K, M) float32 in [0, 1].
    """
    kept = kept.float()
    counted = 1 - objects.void if protocol.ignore_void else torch.ones_like(objects.void)
    both = torch.einsum("bmn,bkn->bkm", kept, objects.classes)
    mask = torch.einsum("bmn,bn->bm", kept, counted).unsqueeze(1)
    return both / (mask + objects.classes.sum(dim=2, keepdim=True) - both)


def _objects(labels: Tensor | Objects, grid: Grid | None, cls_logits: Tensor) -> Objects:
    if isinstance(labels, Objects):
        return labels
    return objects_of(labels, grid or patch_grid(cls_logits.shape[-1]))
