"""RandAugment on tensors against torchvision's functions and Pillow's, operation by operation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from gta.data.batches.device_randaugment import compile_program, execute
from gta.data.batches.randaugment import Operation, RandAugment
from tests.data.batches.test_randaugment import BICUBIC, FILL, pictures

MOVES = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
EXACT = {"Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Brightness", "Sharpness"}
ROUNDED = {"AutoContrast", "Color", "Contrast"}
SIDE = 96
BILINEAR, COLOUR = InterpolationMode.BILINEAR, [float(level) for level in FILL]


def affine(image: Tensor, translate: list[float], shear: list[float]) -> Tensor:
    degrees = [math.degrees(math.atan(tangent)) for tangent in shear]
    return F.affine(image, 0.0, translate, 1.0, degrees, BILINEAR, fill=COLOUR, center=[0.0, 0.0])


TORCHVISION: dict[str, Callable[[Tensor, float], Tensor]] = {
    "AutoContrast": lambda image, _: F.autocontrast(image),
    "Equalize": lambda image, _: F.equalize(image),
    "Invert": lambda image, _: F.invert(image),
    "Posterize": lambda image, bits: F.posterize(image, min(8, max(0, int(bits)))),
    "Solarize": lambda image, level: F.solarize(image, level) if level < 256 else image,
    "SolarizeAdd": lambda image, added: torch.where(image < 128, image + int(added), image),
    "Color": F.adjust_saturation,
    "Contrast": F.adjust_contrast,
    "Brightness": F.adjust_brightness,
    "Sharpness": F.adjust_sharpness,
    "Rotate": lambda image, degrees: F.rotate(image, degrees, BILINEAR, fill=COLOUR),
    "ShearX": lambda image, tangent: affine(image, [0.0, 0.0], [tangent, 0.0]),
    "ShearY": lambda image, tangent: affine(image, [0.0, 0.0], [0.0, tangent]),
    "TranslateXRel": lambda image, share: affine(image, [-share * SIDE, 0.0], [0.0, 0.0]),
    "TranslateYRel": lambda image, share: affine(image, [0.0, -share * SIDE], [0.0, 0.0]),
}


def drawn(policy: str) -> dict[str, list[Operation]]:
    """Many operations of a policy, by name."""
    found: dict[str, list[Operation]] = defaultdict(list)
    for operations in RandAugment(policy, FILL, BICUBIC).draw(5, 200):
        for operation in operations:
            found[operation.name].append(operation)
    return found


def tensor_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def augmented(images: list[Tensor], operations: list[list[Operation]]) -> Tensor:
    fill = torch.tensor(COLOUR).view(3, 1, 1)
    return execute(compile_program(operations, SIDE), torch.stack(images), fill)


def difference(operation: Operation, image: Image.Image) -> np.ndarray:
    """Levels between a batch of one image and Pillow."""
    (made,) = augmented([tensor_of(image)], [[operation]])
    assert made.dtype == torch.uint8
    expected = np.asarray(operation(image)).astype(int)
    return np.abs(made.permute(1, 2, 0).numpy().astype(int) - expected)


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "rand-m10-p1-n3-mmax20-mstd2-inc1"])
def test_a_batch_is_as_its_images_one_by_one_through_torchvision(policy: str) -> None:
    images = [tensor_of(picture) for picture in pictures(60, SIDE)]
    operations = RandAugment(policy, FILL, BICUBIC).draw(7, len(images))
    expected = []
    for image, some in zip(images, operations, strict=True):
        for operation in some:
            strength = 0.0 if operation.strength is None else operation.strength
            image = TORCHVISION[operation.name](image, strength)
        expected.append(image)
    made = augmented(images, operations).int()
    levels = (made - torch.stack(expected).int()).abs()
    # A fused multiply-add, which processors have or lack, may round a blend to the next level;
    # what follows (an equalisation, a threshold) can then differ by more, in few pixels.
    assert (levels > 0).float().mean() < 1e-3


@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_each_operation_is_torchvisions(name: str) -> None:
    operations = drawn("rand-m10-p1-n2-mmax20-mstd2")[name][:6]
    images = [tensor_of(picture) for picture in pictures(len(operations), SIDE)]
    made = augmented(images, [[operation] for operation in operations])
    for image, operation, result in zip(images, operations, made, strict=True):
        strength = 0.0 if operation.strength is None else operation.strength
        levels = (result.int() - TORCHVISION[name](image, strength).int()).abs()
        assert levels.max() <= 1
        assert (levels > 0).float().mean() < (0 if name in EXACT else 1e-3) + 1e-9


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-p1-n2-inc1", "rand-m10-p1-n2-mmax20-mstd2"])
def test_operations_agree_with_pillows(policy: str) -> None:
    operations = drawn(policy)
    assert operations.keys() == MOVES | EXACT | ROUNDED
    for name in EXACT | ROUNDED:
        for operation, image in zip(operations[name][:8], pictures(8, SIDE), strict=False):
            assert difference(operation, image).max() <= 2 * (name in ROUNDED), name


@pytest.mark.parametrize("name", sorted(MOVES))
def test_moves_go_the_same_way_by_the_same_distance(name: str) -> None:
    """Of a smooth image, on which the interpolation hardly matters."""
    ramp = np.linspace(0, 255, SIDE)
    waves = np.stack([np.add.outer(ramp, 0 * ramp), np.add.outer(0 * ramp, ramp)], axis=2)
    pixels = np.concatenate([waves, waves.mean(2, keepdims=True)], axis=2).astype(np.uint8)
    for operation in drawn("rand-m9-mstd0.5-p1")[name][:6]:
        assert operation.strength is not None
        levels = difference(operation, Image.fromarray(pixels))
        assert np.median(levels) <= 1
        assert (levels > 8).mean() < 0.03  # at the border of what is filled


def test_an_empty_program_changes_nothing() -> None:
    image = tensor_of(pictures(1, SIDE)[0])
    assert torch.equal(augmented([image], [[]])[0], image)
