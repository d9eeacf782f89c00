"""Blacking out the part of an image that a map finds strongest, against patches that mislead."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def strongest_squares(maps: Tensor, size: int, side: int) -> Tensor:
    """Upper left corners of the squares where maps are strongest.

    Maps are brought to the image's size, bilinear, and averaged over a box of about the square's
    size; the square lies around the maximum, moved inside the image (Subramanya et al., arXiv
    2206.08477).

    Args:
        maps: (B, rows, columns).
        size: side of the image, pixels.
        side: of the square.

    Returns:
        (B, 2): rows and columns.
    """
    large = F.interpolate(maps[:, None].float(), (size, size), mode="bilinear", align_corners=False)
    box = side + (side + 1) % 2  # odd, so that it has a centre; 31 for 30 pixels
    means = F.avg_pool2d(large, box, stride=1, padding=box // 2)
    best = means.flatten(1).argmax(dim=1)
    centres = torch.stack([best // size, best % size], dim=1)
    return (centres - side // 2).clamp(0, size - side)


def blocked(images: Tensor, corners: Tensor, side: int, black: Tensor) -> Tensor:
    """Images with a black square each.

    Args:
        images: (B, 3, S, S), normalised.
        corners: (B, 2), as ``strongest_squares``.
        side: of the squares.
        black: (3,), a black pixel after normalisation.
    """
    images = images.clone()
    for image, (row, column) in zip(images, corners.tolist(), strict=True):
        image[:, row : row + side, column : column + side] = black.to(image).view(3, 1, 1)
    return images
