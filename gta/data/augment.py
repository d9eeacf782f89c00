"""From a store's images to a batch: augmentation for training, resize and crop for testing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from gta.data.device_randaugment import operate
from gta.data.randaugment import Operation, RandAugment
from gta.data.seeds import Stream, derive
from gta.errors import GtaError
from gta.study.config import Augment, Evaluation, Recipe

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class View:
    """What was drawn for one image of a batch.

    Attributes:
        box: what is cut out of it, before it is resized; None for all.
        corner: how far down and right a shifted image begins in its reflected surroundings.
        mirrored: whether left and right are exchanged.
        operations: of RandAugment.
    """

    box: Box | None
    corner: tuple[int, int] | None
    mirrored: bool
    operations: Sequence[Operation]


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
        self._normalise = _Normalisation(recipe)
        self._mode = InterpolationMode(self.augment.interpolation)
        self._randaugment = None
        if self.augment.randaugment is not None:
            red, green, blue = (min(255, round(255 * value)) for value in recipe.mean)
            self._fill = [float(red), float(green), float(blue)]
            interpolation = getattr(Image.Resampling, self.augment.interpolation.upper())
            self._randaugment = RandAugment(
                self.augment.randaugment, (red, green, blue), interpolation
            )
        self._on_device = self._randaugment is not None and self.augment.randaugment_on == "device"

    def __call__(self, images: Sequence[Pixels], iteration: int) -> Tensor:
        """Augment a batch.

        Args:
            images: each (height, width, 3) uint8.
            iteration: of the batch.

        Returns:
            (B, 3, image_size, image_size) float32, normalised.
        """
        batch, views = self.empty(len(images)), self.draw(images, iteration)
        for image, view, out in zip(images, views, batch.numpy(), strict=True):
            self.write(image, view, out)
        return self.finish(batch, views)

    def empty(self, images: int, pinned: bool = False) -> Tensor:
        """Where a batch of so many images goes, (B, 3, image_size, image_size).

        Bytes where RandAugment comes on the device, else float32; in pinned memory if asked for.
        """
        shape = (images, 3, self.size, self.size)
        kind = torch.uint8 if self._on_device else torch.float32
        return torch.empty(shape, dtype=kind, pin_memory=pinned)

    def draw(self, images: Sequence[Pixels], iteration: int) -> list[View]:
        """All that is random in a batch; what ``write`` does with it is not.

        Args:
            images: of which the sizes alone are looked at.
            iteration: of the batch.

        Raises:
            GtaError: if an image must be cropped or resized, and the recipe does not say how.
        """
        count = len(images)
        seed = derive(self.seed, Stream.AUGMENTATION, iteration)
        generator = torch.Generator().manual_seed(seed)
        boxes: list[Box | None] = [None] * count
        corners: list[tuple[int, int] | None] = [None] * count
        mirrored = [False] * count
        operations: list[list[Operation]] = [[]] * count
        settings = self.augment
        if settings.crop == "none":
            _check_sizes(images, self.size)
        elif settings.crop == "random_resized_crop":
            boxes = [self._box(image, generator) for image in images]
        if settings.shift:
            drawn = torch.randint(2 * settings.shift + 1, (count, 2), generator=generator)
            corners = [(top, left) for top, left in drawn.tolist()]
        if settings.flip:
            mirrored = (torch.rand(count, generator=generator) < settings.flip).tolist()
        if self._randaugment is not None:
            operations = self._randaugment.draw(seed, count)
        return [View(*drawn) for drawn in zip(boxes, corners, mirrored, operations, strict=True)]

    def _box(self, image: Pixels, generator: torch.Generator) -> Box:
        height, width, _ = image.shape
        return _random_box(height, width, self.augment.scale, self.augment.ratio, generator)

    def write(self, image: Pixels, view: View, out: NDArray[Any]) -> None:
        """Augment one image; threads may work at different ones.

        Args:
            image: (height, width, 3) uint8.
            view: what was drawn for it.
            out: (3, image_size, image_size), where it goes in a batch of ``empty``.
        """
        if view.box is not None:
            top, left, height, width = view.box
            image = image[top : top + height, left : left + width]
        if self.augment.crop != "none":
            size = [self.size, self.size]
            resized = F.resize(_tensor(image), size, interpolation=self._mode, antialias=True)
            image = resized.permute(1, 2, 0).numpy()
        if view.corner is not None:
            image = _shifted(image, self.augment.shift, view.corner)
        if view.mirrored:
            image = image[:, ::-1]
        if self._on_device:
            out[:] = image.transpose(2, 0, 1)
            return
        if view.operations:
            picture = Image.fromarray(np.ascontiguousarray(image))
            for operation in view.operations:
                picture = operation(picture)
            image = np.asarray(picture)
        self._normalise(image, out)

    def finish(self, batch: Tensor, views: Sequence[View]) -> Tensor:
        """Do what is left to be done where the batch is: nothing, or RandAugment.

        Args:
            batch: of ``empty``, written, on any device.
            views: of its images.

        Returns:
            (B, 3, image_size, image_size) float32, normalised, on that device.
        """
        if not self._on_device:
            return batch
        images = []
        for image, view in zip(batch, views, strict=True):
            for operation in view.operations:
                image = operate(image, operation, self._fill)
            images.append(image)
        return self._normalise.batch(torch.stack(images))


class Evaluator:
    """The one view of a test image: shorter side to ``resize``, then the central square."""

    def __init__(self, recipe: Recipe) -> None:
        """Set up for a recipe."""
        self.evaluation: Evaluation = recipe.evaluation
        self.size = recipe.image_size
        self._normalise = _Normalisation(recipe)

    def __call__(self, images: Sequence[Pixels]) -> Tensor:
        """Bring images, each (height, width, 3) uint8, to (B, 3, image_size, image_size)."""
        batch = np.empty((len(images), 3, self.size, self.size), dtype=np.float32)
        for image, out in zip(images, batch, strict=True):
            self._normalise(self.pixels(image).numpy(), out)
        return torch.from_numpy(batch)

    def mask(self, mask: NDArray[np.bool_]) -> Tensor:
        """Bring an object mask to the same view, (image_size, image_size) bool."""
        tensor = torch.from_numpy(np.array(mask, dtype=np.uint8))[None]
        if self.evaluation.resize is not None:
            # by pixel centres, as the image
            tensor = self._place(tensor, InterpolationMode.NEAREST_EXACT)
        return tensor[0].bool()

    def pixels(self, image: Pixels) -> Tensor:
        """The view before normalisation, (image_size, image_size, 3) uint8, for pictures."""
        if self.evaluation.resize is None:
            _check_sizes([image], self.size)
            return torch.from_numpy(np.array(image))
        mode = InterpolationMode(self.evaluation.interpolation)
        return self._place(_tensor(image), mode).permute(1, 2, 0)

    def _place(self, tensor: Tensor, mode: InterpolationMode) -> Tensor:
        assert self.evaluation.resize is not None
        resized = F.resize(
            tensor,
            [self.evaluation.resize],
            interpolation=mode,
            antialias=mode != InterpolationMode.NEAREST_EXACT,
        )
        return F.center_crop(resized, [self.size, self.size])


class _Normalisation:
    """From bytes to what the model takes: (x / 255 - mean) / std."""

    def __init__(self, recipe: Recipe) -> None:
        self._mean = np.array(recipe.mean, dtype=np.float32)[:, None, None]
        self._std = np.array(recipe.std, dtype=np.float32)[:, None, None]

    def __call__(self, image: Pixels, out: NDArray[np.float32]) -> None:
        """Write an image, (height, width, 3), into ``out``, (3, height, width).

        One image at a time stays in a core's cache; a batch would not.
        """
        np.copyto(out, image.transpose(2, 0, 1))
        np.divide(out, 255, out=out)
        np.subtract(out, self._mean, out=out)
        np.divide(out, self._std, out=out)

    def batch(self, images: Tensor) -> Tensor:
        """The same of bytes (B, 3, height, width) on any device, in the same order."""
        mean, std = (torch.from_numpy(a).to(images.device) for a in (self._mean, self._std))
        return images.float().div_(255).sub_(mean).div_(std)


def _tensor(image: Pixels) -> Tensor:
    """A copy of a mapped image, (3, height, width)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _check_sizes(images: Sequence[Pixels], size: int) -> None:
    for image in images:
        if image.shape != (size, size, 3):
            raise GtaError(
                f"images of {image.shape[1]} x {image.shape[0]} pixels cannot be used as they "
                f"are at image_size {size}: set recipe.augment.crop and recipe.evaluation.resize"
            )


def _shifted(image: Pixels, most: int, corner: tuple[int, int]) -> Pixels:
    """An image moved by up to ``most`` pixels a side, its border reflected."""
    height, width = image.shape[:2]
    top, left = corner
    rows = _reflected(height, most)[top : top + height]
    columns = _reflected(width, most)[left : left + width]
    return image.take(rows, axis=0).take(columns, axis=1)  # faster than one index for both


@cache
def _reflected(side: int, most: int) -> NDArray[np.int64]:
    """Which line of an image stands where in its surroundings, (side + 2 * most,)."""
    return np.pad(np.arange(side), most, mode="reflect")


def _random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Box:
    """A random crop (the rule of Inception and torchvision)."""
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
