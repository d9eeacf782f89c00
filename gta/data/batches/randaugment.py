"""RandAugment as timm does it, its random draws apart from its work on pixels.

timm draws from Python's and NumPy's global generators while it works. Drawn beforehand, from
generators of their own, the same numbers give the same images in any thread and any order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from timm.data.auto_augment import AugmentOp


@dataclass(frozen=True)
class Operation:
    """One of timm's operations, drawn for an image.

    Attributes:
        timm: the operation.
        strength: its argument, None where it takes none.
    """

    timm: AugmentOp
    strength: float | None

    @property
    def name(self) -> str:
        """Name of the operation, without the direction of its strength."""
        return str(self.timm.name).removesuffix("Increasing")

    def __call__(self, image: Image.Image) -> Image.Image:
        """Apply the operation to a Pillow image as timm does."""
        if self.name == "Posterize" and self.strength is not None and self.strength <= 0:
            # No bits kept, as timm's policies may ask; from version 13 on Pillow refuses to.
            return Image.new(image.mode, image.size)
        function: Any = self.timm.aug_fn
        arguments = [] if self.strength is None else [self.strength]
        return function(image, *arguments, **self.timm.kwargs)


class RandAugment:
    """Draws which operations an image gets.

    Cubuk et al. 2020; operations, their strengths and the order of draws are those of
    ``timm.data.auto_augment``.
    """

    def __init__(
        self, policy: str, fill: tuple[int, int, int], interpolation: Image.Resampling
    ) -> None:
        """Read a policy in timm's form, such as ``rand-m9-mstd0.5-inc1``.

        Args:
            policy: checked by the study's config.
            fill: colour of pixels that come from outside the image.
            interpolation: of rotations, shears and translations.
        """
        from timm.data.auto_augment import rand_augment_transform

        settings = {"img_mean": fill, "interpolation": interpolation}
        self._timm = rand_augment_transform(policy, settings)

    def draw(self, seed: int, images: int) -> list[list[Operation]]:
        """For each image the operations that it gets, in their order; often there are none."""
        which, rest = np.random.RandomState(seed % 2**32), random.Random(seed)
        operations, number = self._timm.ops, self._timm.num_layers
        drawn = []
        for _ in range(images):
            chosen = [operations[i] for i in which.choice(len(operations), number)]
            found = [_drawn(operation, rest) for operation in chosen]
            drawn.append([operation for operation in found if operation is not None])
        return drawn


def _drawn(operation: AugmentOp, rng: random.Random) -> Operation | None:
    """One of timm's operations at a random strength; None if it is left out by chance."""
    if operation.prob < 1 and rng.random() > operation.prob:
        return None
    magnitude = operation.magnitude
    if operation.magnitude_std == math.inf:
        magnitude = rng.uniform(0, magnitude)
    elif operation.magnitude_std > 0:
        magnitude = rng.gauss(magnitude, operation.magnitude_std)
    level = max(0.0, min(magnitude, operation.magnitude_max or 10)) / 10
    strength = _STRENGTHS.get(operation.name)
    return Operation(operation, None if strength is None else strength(level, rng))


def _signed(most: float, level: float, rng: random.Random) -> float:
    value = level * most
    return -value if rng.random() > 0.5 else value


def _enhanced(level: float, rng: random.Random) -> float:
    return level * 1.8 + 0.1


def _enhanced_more(level: float, rng: random.Random) -> float:
    return max(0.1, 1.0 + _signed(0.9, level, rng))


# From a level in [0, 1] to the argument of timm's operation.
_STRENGTHS: dict[str, Callable[[float, random.Random], float]] = {
    "Rotate": partial(_signed, 30.0),
    "ShearX": partial(_signed, 0.3),
    "ShearY": partial(_signed, 0.3),
    "TranslateXRel": partial(_signed, 0.45),
    "TranslateYRel": partial(_signed, 0.45),
    "Posterize": lambda level, _: int(level * 4),
    "PosterizeIncreasing": lambda level, _: 4 - int(level * 4),
    "Solarize": lambda level, _: min(256, int(level * 256)),
    "SolarizeIncreasing": lambda level, _: 256 - min(256, int(level * 256)),
    "SolarizeAdd": lambda level, _: min(128, int(level * 110)),
    "Color": _enhanced,
    "Contrast": _enhanced,
    "Brightness": _enhanced,
    "Sharpness": _enhanced,
    "ColorIncreasing": _enhanced_more,
    "ContrastIncreasing": _enhanced_more,
    "BrightnessIncreasing": _enhanced_more,
    "SharpnessIncreasing": _enhanced_more,
}
