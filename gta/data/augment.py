"""From a store's images to a batch: augmentation for training, resize and crop for testing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from gta.data.seeds import Stream, derive
from gta.errors import GtaError
from gta.study.config import Augment, Evaluation, Recipe

Pixels = NDArray[np.uint8]


class Augmenter:
    """Random views of training images.

    All that is random in a batch follows from (seed, iteration), whatever came before, so
    that training can go on from any iteration and runs of one seed see the same pixels.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        """Set up for a recipe."""
        self.augment: Augment = recipe.augment
        self.size = recipe.image_size
        self.seed = seed
        self._mean, self._std = _statistics(recipe)
        self._randaugment = None
        if self.augment.randaugment is not None:
            from timm.data.auto_augment import rand_augment_transform

            settings = {
                "img_mean": tuple(min(255, round(255 * value)) for value in recipe.mean),
                "interpolation": getattr(Image.Resampling, self.augment.interpolation.upper()),
            }
            self._randaugment = rand_augment_transform(self.augment.randaugment, settings)

    def __call__(self, images: Sequence[Pixels], iteration: int) -> Tensor:
        """Augment a batch.

        Args:
            images: each (height, width, 3) uint8.
            iteration: of the batch.

        Returns:
            (B, 3, image_size, image_size) float32, normalised.
        """
        seed = derive(self.seed, Stream.AUGMENTATION, iteration)
        generator = torch.Generator().manual_seed(seed)
        if self.augment.crop == "none":
            batch = _stack(images, self.size)
        else:
            batch = torch.stack([self._crop(image, generator) for image in images])
        if self.augment.shift:
            batch = _shift(batch, self.augment.shift, generator)
        if self.augment.flip:
            flipped = torch.rand(len(batch), generator=generator) < self.augment.flip
            batch = torch.where(flipped[:, None, None, None], batch.flip(-1), batch)
        if self._randaugment is not None:
            with _seeded(seed):
                batch = torch.stack([self._randomly(image) for image in batch])
        return _normalise(batch, self._mean, self._std)

    def _crop(self, image: Pixels, generator: torch.Generator) -> Tensor:
        if self.augment.crop == "random_resized_crop":
            height, width = image.shape[:2]
            top, left, height, width = _random_box(
                height, width, self.augment.scale, self.augment.ratio, generator
            )
            image = image[top : top + height, left : left + width]
        mode = InterpolationMode(self.augment.interpolation)
        return F.resize(_tensor(image), [self.size, self.size], interpolation=mode, antialias=True)

    def _randomly(self, image: Tensor) -> Tensor:
        assert self._randaugment is not None
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(np.array(self._randaugment(picture))).permute(2, 0, 1)


class Evaluator:
    """The one view of a test image: shorter side to ``resize``, then the central square."""

    def __init__(self, recipe: Recipe) -> None:
        """Set up for a recipe."""
        self.evaluation: Evaluation = recipe.evaluation
        self.size = recipe.image_size
        self._mean, self._std = _statistics(recipe)

    def __call__(self, images: Sequence[Pixels]) -> Tensor:
        """Bring images, each (height, width, 3) uint8, to (B, 3, image_size, image_size)."""
        if self.evaluation.resize is None:
            batch = _stack(images, self.size)
        else:
            batch = torch.stack([self._view(image) for image in images])
        return _normalise(batch, self._mean, self._std)

    def mask(self, mask: NDArray[np.bool_]) -> Tensor:
        """Bring an object mask to the same view, (image_size, image_size) bool."""
        tensor = torch.from_numpy(np.array(mask, dtype=np.uint8))[None]
        if self.evaluation.resize is not None:
            tensor = self._place(tensor, InterpolationMode.NEAREST_EXACT)  # by pixel centres, as the image
        return tensor[0].bool()

    def pixels(self, image: Pixels) -> Tensor:
        """The view before normalisation, (image_size, image_size, 3) uint8, for pictures."""
        if self.evaluation.resize is None:
            return _stack([image], self.size)[0].permute(1, 2, 0)
        return self._view(image).permute(1, 2, 0)

    def _view(self, image: Pixels) -> Tensor:
        return self._place(_tensor(image), InterpolationMode(self.evaluation.interpolation))

    def _place(self, tensor: Tensor, mode: InterpolationMode) -> Tensor:
        assert self.evaluation.resize is not None
        resized = F.resize(
            tensor,
            [self.evaluation.resize],
            interpolation=mode,
            antialias=mode != InterpolationMode.NEAREST_EXACT,
        )
        return F.center_crop(resized, [self.size, self.size])


def _statistics(recipe: Recipe) -> tuple[Tensor, Tensor]:
    return torch.tensor(recipe.mean)[:, None, None], torch.tensor(recipe.std)[:, None, None]


def _normalise(batch: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return batch.float().div_(255).sub_(mean).div_(std)


def _tensor(image: Pixels) -> Tensor:
    """A copy of a mapped image, (3, height, width)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _stack(images: Sequence[Pixels], size: int) -> Tensor:
    for image in images:
        if image.shape != (size, size, 3):
            raise GtaError(
                f"images of {image.shape[1]} x {image.shape[0]} pixels cannot be used as they "
                f"are at image_size {size}: set recipe.augment.crop and recipe.evaluation.resize"
            )
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _shift(batch: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to ``most`` pixels a side, the border reflected."""
    height, width = batch.shape[-2:]
    corners = torch.randint(2 * most + 1, (len(batch), 2), generator=generator).tolist()
    around = (most, most)
    # numpy: torch reflects no uint8, and slices are ten times as fast as an indexed gather.
    padded = np.pad(batch.numpy(), ((0, 0), (0, 0), around, around), mode="reflect")
    moved = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(padded, corners, strict=True)
    ]
    return torch.from_numpy(np.stack(moved))


def _random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int, int, int]:
    """Top, left, height, width of a random crop (the rule of Inception and torchvision)."""
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        draw = torch.rand(2, generator=generator).tolist()
        area = height * width * (scale[0] + (scale[1] - scale[0]) * draw[0])
        aspect = math.exp(low + (high - low) * draw[1])
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(height - h + 1, (), generator=generator))
            left = int(torch.randint(width - w + 1, (), generator=generator))
            return top, left, h, w
    # No crop fits: the central one with the nearest allowed ratio.
    if width / height < ratio[0]:
        w, h = width, max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        w, h = max(1, round(height * ratio[1])), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that timm's RandAugment draws from, and put them back."""
    state, legacy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(legacy)
