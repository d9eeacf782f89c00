"""RandAugment on a whole batch of tensors, where the model is: for GPUs that outrun the host.

The operations and their strengths are drawn as for Pillow (``gta.data.batches.randaugment``). All
images of a batch that get the same operation are processed at once. The arithmetic is that of
torchvision's functions; the result agrees with Pillow's to within two of 255 levels, most of it
exactly, except for rotations, shears and translations: these interpolate bilinearly where the host
uses bicubic, which changes a photograph by 1 to 2 levels in the mean and by far more at edges.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as T

from gta.data.batches.randaugment import Operation

AFFINE = "Affine"  # the group of all rotations, shears and translations
COLUMNS = 6  # of ``Program.values``: an affine matrix, or the strength in the first one or two


class Program(NamedTuple):
    """The operations on a batch, grouped by kind; its tensors belong on the batch's device.

    Attributes:
        groups: each group's operation and number of images, in the order of execution.
        rows: (n,) int64, the images of one group after the other.
        values: (n, 6) float32, what each of these images needs.
    """

    groups: tuple[tuple[str, int], ...]
    rows: Tensor
    values: Tensor


def compile_program(operations: Sequence[Sequence[Operation]], side: int) -> Program:
    """Group the operations of a batch.

    An image's first operations come before all second ones, so that each image gets its own in
    their order.

    Args:
        operations: those of each image, in order.
        side: height and width of the images, pixels.
    """
    groups: list[tuple[str, int]] = []
    rows: list[int] = []
    values: list[list[float]] = []
    for position in range(max(map(len, operations), default=0)):
        members: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
        for row, drawn in enumerate(operations):
            if position < len(drawn):
                name, needed = _values(drawn[position], side)
                members[name].append((row, needed + [0.0] * (COLUMNS - len(needed))))
        for name, found in members.items():
            groups.append((name, len(found)))
            rows += [row for row, _ in found]
            values += [needed for _, needed in found]
    return Program(
        tuple(groups),
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(values, dtype=torch.float32).reshape(-1, COLUMNS),
    )


def execute(program: Program, batch: Tensor, fill: Tensor) -> Tensor:
    """Apply a program to its batch.

    Args:
        program: with its tensors on the batch's device.
        batch: (B, 3, side, side) uint8, changed in place.
        fill: (3, 1, 1) float32, colour of pixels from outside an image, levels from 0 to 255.

    Returns:
        The batch.
    """
    start = 0
    for name, count in program.groups:
        chosen = slice(start, start + count)
        rows, start = program.rows[chosen], start + count
        values = program.values[chosen, :, None, None, None]  # (n, 6, 1, 1, 1)
        images = batch.index_select(0, rows)
        if name == AFFINE:
            images = _affine(images, program.values[chosen], fill)
        elif name in _PLAIN:
            images = _PLAIN[name](images)
        else:
            images = _GRADED[name](images, values[:, 0], values[:, 1])
        batch.index_copy_(0, rows, images)
    return batch


def _values(operation: Operation, side: int) -> tuple[str, list[float]]:
    """The group of an operation, and its row of ``Program.values``."""
    name, strength = operation.name, operation.strength
    if strength is None:
        return name, []
    if name in _MATRICES:
        return AFFINE, _MATRICES[name](strength, side)
    if name == "Posterize":  # the mask of the bits that stay
        bits = min(8, max(0, int(strength)))
        return name, [float(256 - (1 << (8 - bits)))]
    if name == "SolarizeAdd":
        return name, [float(int(strength))]
    return name, [strength, 1.0 - strength]


def _rotation(degrees: float, _: int) -> list[float]:
    angle = math.radians(degrees)
    return [math.cos(angle), -math.sin(angle), 0.0, math.sin(angle), math.cos(angle), 0.0]


# From coordinates of the result to those of the image, both in pixels from the centre. As in
# Pillow, rotations are about the centre, shears about the upper left corner.
_MATRICES: dict[str, Callable[[float, int], list[float]]] = {
    "Rotate": _rotation,
    "ShearX": lambda tangent, side: [1.0, tangent, tangent * side / 2, 0.0, 1.0, 0.0],
    "ShearY": lambda tangent, side: [1.0, 0.0, 0.0, tangent, 1.0, tangent * side / 2],
    "TranslateXRel": lambda share, side: [1.0, 0.0, share * side, 0.0, 1.0, 0.0],
    "TranslateYRel": lambda share, side: [1.0, 0.0, 0.0, 0.0, 1.0, share * side],
}


def _affine(images: Tensor, matrices: Tensor, fill: Tensor) -> Tensor:
    """Sample images bilinearly through a matrix each, (n, 6); ``fill`` where nothing is."""
    count, _, height, width = images.shape
    at = torch.arange(height, device=images.device) - (height - 1) / 2
    # element by element: a matrix product may be rounded to TF32, which is too coarse for pixels
    a, b, c, d, e, f = (matrices / (height / 2)).unsqueeze(-1).unsqueeze(-1).unbind(1)
    grid = torch.stack((a * at + b * at[:, None] + c, d * at + e * at[:, None] + f), dim=-1)
    inside = images.new_ones((count, 1, height, width), dtype=torch.float32)
    sampled = F.grid_sample(
        torch.cat((images.float(), inside), dim=1), grid, mode="bilinear", align_corners=False
    )
    pixels, share = sampled[:, :3], sampled[:, 3:]
    return pixels.sub(fill).mul_(share).add_(fill).round_().to(torch.uint8)


def _posterize(images: Tensor, mask: Tensor, _: Tensor) -> Tensor:
    return images & mask.to(torch.uint8)


def _solarize(images: Tensor, threshold: Tensor, _: Tensor) -> Tensor:
    return torch.where(images >= threshold, 255 - images, images)


def _solarize_add(images: Tensor, added: Tensor, _: Tensor) -> Tensor:
    dark = images < 128  # timm's threshold; with at most 110 levels more it stays a byte
    return torch.where(dark, images + added.to(torch.uint8), images)


def _blend(images: Tensor, other: Tensor, share: Tensor, rest: Tensor) -> Tensor:
    mixed = images.float().mul_(share).addcmul_(other, rest)
    return mixed.clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Luma (n, 1, H, W), whole levels as float32."""
    red, green, blue = images.float().split(1, dim=1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()


def _color(images: Tensor, share: Tensor, rest: Tensor) -> Tensor:
    return _blend(images, _grey(images), share, rest)


def _contrast(images: Tensor, share: Tensor, rest: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), share, rest)


def _brightness(images: Tensor, share: Tensor, _: Tensor) -> Tensor:
    return images.float().mul_(share).clamp_(0, 255).to(torch.uint8)


def _sharpness(images: Tensor, share: Tensor, rest: Tensor) -> Tensor:
    """Blend with a smoothed image; the border of one pixel stays."""
    levels = images.float()
    inner = levels[..., 1:-1, 1:-1]
    smooth = F.avg_pool2d(levels, 3, stride=1).mul_(9).add_(inner, alpha=4).div_(13).round_()
    inner.addcmul_(smooth.sub_(inner), rest)
    return levels.clamp_(0, 255).to(torch.uint8)


_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "AutoContrast": T.autocontrast,
    "Equalize": T.equalize,
    "Invert": T.invert,
}

_GRADED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _color,
    "Contrast": _contrast,
    "Brightness": _brightness,
    "Sharpness": _sharpness,
}
