"""RandAugment on tensors against Pillow's, operation by operation."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image

from gta.data.device_randaugment import operate
from gta.data.randaugment import Operation, RandAugment
from tests.data.test_randaugment import BICUBIC, FILL, pictures

MOVES = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
EXACT = {"Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Brightness", "Sharpness"}
ROUNDED = {"AutoContrast", "Color", "Contrast"}


def drawn(policy: str) -> dict[str, list[Operation]]:
    """Many operations of a policy, by name."""
    found: dict[str, list[Operation]] = defaultdict(list)
    for operations in RandAugment(policy, FILL, BICUBIC).draw(5, 200):
        for operation in operations:
            found[operation.name].append(operation)
    return found


def difference(operation: Operation, image: Image.Image) -> np.ndarray:
    """Levels between both ways."""
    given = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    before = given.clone()
    made = operate(given, operation, [float(level) for level in FILL])
    assert made.dtype == torch.uint8
    assert torch.equal(given, before)
    expected = np.asarray(operation(image)).astype(int)
    return np.abs(made.permute(1, 2, 0).numpy().astype(int) - expected)


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-p1-n2-inc1", "rand-m10-p1-n2-mmax20-mstd2"])
def test_operations_agree_with_pillows(policy: str) -> None:
    operations = drawn(policy)
    assert operations.keys() == MOVES | EXACT | ROUNDED
    for name in EXACT | ROUNDED:
        for operation, image in zip(operations[name][:8], pictures(8, side=96), strict=False):
            assert difference(operation, image).max() <= 2 * (name in ROUNDED), name


@pytest.mark.parametrize("name", sorted(MOVES))
def test_moves_go_the_same_way_by_the_same_distance(name: str) -> None:
    """Of a smooth image, on which the interpolation hardly matters."""
    ramp = np.linspace(0, 255, 96)
    waves = np.stack([np.add.outer(ramp, 0 * ramp), np.add.outer(0 * ramp, ramp)], axis=2)
    pixels = np.concatenate([waves, waves.mean(2, keepdims=True)], axis=2).astype(np.uint8)
    for operation in drawn("rand-m9-mstd0.5-p1")[name][:6]:
        assert operation.strength is not None
        levels = difference(operation, Image.fromarray(pixels))
        assert np.median(levels) <= 1
        assert (levels > 8).mean() < 0.03  # at the border of what is filled
