"""Inputs of the comparisons: from seeds alone, the same bits on every machine.

NumPy keeps the raw stream of PCG64 for good, but not how its distributions use that stream; so
everything here is made of raw draws by steps that round nowhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VOID = 255


def uniform(shape: tuple[int, ...], *seed: int) -> Floats:
    """Numbers in [-1, 1) of 53 bits each."""
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(math.prod(shape))
    numbers = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return numbers.reshape(shape)


def integers(shape: tuple[int, ...], low: int, high: int, *seed: int) -> NDArray[np.int64]:
    """Whole numbers in [low, high)."""
    return low + ((uniform(shape, *seed) + 1) * ((high - low) / 2)).astype(np.int64)


def weights(shapes: Mapping[str, tuple[int, ...]], *seed: int) -> dict[str, Floats]:
    """Parameters of a ViT by name, so spread that its attention is far from even.

    Matrices have bound 2 / sqrt(inputs), rounded to a power of two; biases, tokens and positions
    1/4; the scales of norms lie around one.
    """
    drawn = {}
    for position, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        matrix = len(shape) in (2, 4)
        bound = 2.0 ** round(1 - math.log2(math.prod(shape[1:])) / 2) if matrix else 0.25
        drawn[name] = bound * uniform(shape, *seed, position)
        if "norm" in name and name.endswith("weight"):
            drawn[name] += 1
    return drawn


def features(batch: int, width: int, *seed: int) -> Floats:
    """Features (batch, width): eight strong directions under noise."""
    strong = integers((batch, 8), -8, 8, *seed, 1) @ integers((8, width), -8, 8, *seed, 2)
    return strong / 16 + uniform((batch, width), *seed, 0)


def class_maps(images: int, side: int, *seed: int) -> NDArray[np.uint8]:
    """Class maps (images, side, side) as of PASCAL VOC.

    Up to three boxes of classes 1 to 20 on background 0, each with a rim of void pixels.
    """
    maps = np.zeros((images, side, side), np.uint8)
    draws = integers((images, 3, 5), 0, 2**20, *seed)
    rim = side // 80
    for picture, boxes in zip(maps, draws, strict=True):
        for label, top, left, height, width in boxes:
            top, left = top % (side * 3 // 4), left % (side * 3 // 4)
            bottom = top + side // 10 + height % (side // 2)
            right = left + side // 10 + width % (side // 2)
            picture[max(top - rim, 0) : bottom + rim, max(left - rim, 0) : right + rim] = VOID
            picture[top:bottom, left:right] = 1 + label % 20
    return maps


def digest(arrays: Iterable[NDArray[np.generic]]) -> str:
    """SHA-256 over types, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
