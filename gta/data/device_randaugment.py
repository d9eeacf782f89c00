"""RandAugment on tensors, where the model is: for GPUs that outrun the host's cores.

The operations and their strengths are drawn as for Pillow (``gta.data.randaugment``) and done by
torchvision. They agree with Pillow's to within two of 255 levels, most of them exactly; but for
rotations, shears and translations, which torchvision interpolates bilinearly where the host does
bicubically: on photographs they differ by 1 to 2 levels in the mean, at edges by far more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from gta.data.randaugment import Operation

Fill = list[float]  # of a pixel that comes from outside the image, levels of 0 to 255


def operate(image: Tensor, operation: Operation, fill: Fill) -> Tensor:
    """Do one operation on an image.

    Args:
        image: (3, height, width) uint8, on any device.
        operation: as drawn.
        fill: colour of pixels from outside the image.

    Returns:
        Of the same shape and type.
    """
    if operation.strength is None:
        return _PLAIN[operation.name](image)
    if operation.name in _MOVES:
        return _MOVES[operation.name](image, operation.strength, fill)
    return _GRADED[operation.name](image, operation.strength)


def _posterize(image: Tensor, bits: float) -> Tensor:
    return F.posterize(image, int(bits)) if bits < 8 else image


def _solarize(image: Tensor, threshold: float) -> Tensor:
    return F.solarize(image, threshold) if threshold < 256 else image


def _solarize_add(image: Tensor, added: float) -> Tensor:
    dark = image < 128  # timm's threshold; with at most 110 levels more it stays a byte
    return torch.where(dark, image + int(added), image)


def _affine(image: Tensor, fill: Fill, translate: list[float], shear: list[float]) -> Tensor:
    """About the upper left corner, as Pillow's."""
    bilinear = InterpolationMode.BILINEAR
    return F.affine(image, 0.0, translate, 1.0, shear, bilinear, fill=fill, center=[0.0, 0.0])


def _degrees(tangent: float) -> float:
    return math.degrees(math.atan(tangent))


_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "AutoContrast": F.autocontrast,
    "Equalize": F.equalize,
    "Invert": F.invert,
}

_GRADED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": F.adjust_saturation,
    "Contrast": F.adjust_contrast,
    "Brightness": F.adjust_brightness,
    "Sharpness": F.adjust_sharpness,
}

_MOVES: dict[str, Callable[[Tensor, float, Fill], Tensor]] = {
    "Rotate": lambda i, degrees, fill: F.rotate(i, degrees, InterpolationMode.BILINEAR, fill=fill),
    "ShearX": lambda i, tangent, fill: _affine(i, fill, [0.0, 0.0], [_degrees(tangent), 0.0]),
    "ShearY": lambda i, tangent, fill: _affine(i, fill, [0.0, 0.0], [0.0, _degrees(tangent)]),
    "TranslateXRel": lambda i, share, fill: _affine(
        i, fill, [-share * i.shape[2], 0.0], [0.0, 0.0]
    ),
    "TranslateYRel": lambda i, share, fill: _affine(
        i, fill, [0.0, -share * i.shape[1]], [0.0, 0.0]
    ),
}
