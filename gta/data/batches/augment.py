"""Batches from a store's images: augmentation for training, resize and crop for testing.

A batch is written image by image on the host, as float32 or as bytes, and finished where it is
used: a batch of bytes is a quarter of the size to copy, and normalising it is nothing to a GPU.
Both ways give the same numbers, bit for bit.
"""

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

from gta.data.batches.device_randaugment import Program, compile_program, execute
from gta.data.batches.randaugment import Operation, RandAugment
from gta.data.seeds import Stream, derive
from gta.errors import GtaError
from gta.study.recipe import Augment, Evaluation, Recipe

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class View:
    """The random choices for one image of a batch.

    Attributes:
        box: the part that is cropped before the resize; None for the whole image.
        corner: where a shifted image begins in its reflected surroundings, rows and columns.
        mirrored: whether left and right are exchanged.
        operations: of RandAugment.
    """

    box: Box | None
    corner: tuple[int, int] | None
    mirrored: bool
    operations: Sequence[Operation]


class Augmenter:
    """Random views of training images.

    Every random choice follows from (seed, iteration) alone, so that training can resume at any
    iteration and runs of one seed see the same pixels.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        """Set up for a recipe."""
        self.augment: Augment = recipe.augment
        self.size = recipe.image_size
        self.seed = seed
        self._normalise = Normalisation(recipe)
        self._mode = InterpolationMode(self.augment.interpolation)
        self._randaugment = None
        self._fill = torch.zeros(3, 1, 1)
        if self.augment.randaugment is not None:
            red, green, blue = (min(255, round(255 * value)) for value in recipe.mean)
            self._fill = torch.tensor([red, green, blue], dtype=torch.float32).view(3, 1, 1)
            interpolation = getattr(Image.Resampling, self.augment.interpolation.upper())
            self._randaugment = RandAugment(
                self.augment.randaugment, (red, green, blue), interpolation
            )
        self._on_device = self._randaugment is not None and self.augment.randaugment_on == "device"

    def __call__(self, images: Sequence[Pixels], iteration: int) -> Tensor:
        """Augment a batch on the CPU.

        Args:
            images: each (height, width, 3) uint8.
            iteration: of the batch.

        Returns:
            (B, 3, image_size, image_size) float32, normalised.
        """
        batch, views = self.empty(len(images)), self.draw(images, iteration)
        for image, view, out in zip(images, views, batch.numpy(), strict=True):
            self.write(image, view, out)
        return self.finish(batch, self.program(views))

    def empty(self, images: int, as_bytes: bool = False, pinned: bool = False) -> Tensor:
        """An uninitialised batch for ``write``, (images, 3, image_size, image_size).

        Args:
            images: how many.
            as_bytes: uint8, which ``finish`` normalises; always so where RandAugment runs on the
                device. Otherwise float32.
            pinned: in memory that a GPU copies from on its own.
        """
        return _empty(images, self.size, as_bytes or self._on_device, pinned)

    def draw(self, images: Sequence[Pixels], iteration: int) -> list[View]:
        """Make the random choices for a batch; everything after is deterministic.

        Args:
            images: only their sizes matter.
            iteration: of the batch.

        Raises:
            GtaError: an image must be cropped or resized, and the recipe does not say how.
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

    def program(self, views: Sequence[View]) -> Program | None:
        """The part of RandAugment left for ``finish``; None if ``write`` applies all of it."""
        if not self._on_device:
            return None
        return compile_program([view.operations for view in views], self.size)

    def write(self, image: Pixels, view: View, out: NDArray[Any]) -> None:
        """Augment one image; threads may work on different ones.

        Args:
            image: (height, width, 3) uint8.
            view: its random choices.
            out: (3, image_size, image_size), its place in a batch of ``empty``.
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
        if view.operations and not self._on_device:
            picture = Image.fromarray(np.ascontiguousarray(image))
            for operation in view.operations:
                picture = operation(picture)
            image = np.asarray(picture)
        self._normalise.write(image, out)

    def finish(self, batch: Tensor, program: Program | None = None) -> Tensor:
        """Apply RandAugment and normalisation that are set to run on the batch's device.

        Args:
            batch: of ``empty``, written, on any device; changed in place.
            program: of ``program``, its tensors on that device.

        Returns:
            (B, 3, image_size, image_size) float32, normalised, on that device.
        """
        if program is not None:
            self._fill = self._fill.to(batch.device)
            batch = execute(program, batch, self._fill)
        return self._normalise.finish(batch)


LONGEST = 16  # times the short side; of a longer image the test view reads the middle alone


class Evaluator:
    """The view of a test image: shorter side to ``resize``, then the central square."""

    def __init__(self, recipe: Recipe) -> None:
        """Set up for a recipe."""
        self.evaluation: Evaluation = recipe.evaluation
        self.size = recipe.image_size
        self._normalise = Normalisation(recipe)

    def __call__(self, images: Sequence[Pixels]) -> Tensor:
        """Bring images, each (height, width, 3) uint8, to (B, 3, image_size, image_size)."""
        batch = self.empty(len(images))
        for image, out in zip(images, batch.numpy(), strict=True):
            self.write(image, out)
        return batch

    def empty(self, images: int, as_bytes: bool = False, pinned: bool = False) -> Tensor:
        """An uninitialised batch for ``write``, as ``Augmenter.empty``."""
        return _empty(images, self.size, as_bytes, pinned)

    def write(self, image: Pixels, out: NDArray[Any]) -> None:
        """Write an image's view to its place in a batch of ``empty``, (3, side, side)."""
        self._normalise.write(self.pixels(image).numpy(), out)

    def finish(self, batch: Tensor) -> Tensor:
        """Normalise a written batch where it is, if it is one of bytes."""
        return self._normalise.finish(batch)

    def mask(self, mask: NDArray[np.bool_]) -> Tensor:
        """Bring an object mask to the same view, (image_size, image_size) bool."""
        return self.mask_ids(mask).bool()

    def mask_ids(self, mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Tensor:
        """Bring a mask of class ids to the same view, (image_size, image_size) uint8."""
        tensor = torch.from_numpy(np.array(mask, dtype=np.uint8))[None]
        if self.evaluation.resize is not None:
            # by pixel centres, as the image
            tensor = self._place(tensor, InterpolationMode.NEAREST_EXACT)
        return tensor[0]

    def pixels(self, image: Pixels) -> Tensor:
        """The view before normalisation, (image_size, image_size, 3) uint8, for pictures."""
        if self.evaluation.resize is None:
            _check_sizes([image], self.size)
            return torch.from_numpy(np.array(image))
        mode = InterpolationMode(self.evaluation.interpolation)
        return self._place(_tensor(image), mode).permute(1, 2, 0)

    def _place(self, tensor: Tensor, mode: InterpolationMode) -> Tensor:
        assert self.evaluation.resize is not None
        resize = self.evaluation.resize
        resized = F.resize(
            _middle(tensor, max(LONGEST, 2 * self.size // resize + 2)),
            [resize],
            interpolation=mode,
            antialias=mode != InterpolationMode.NEAREST_EXACT,
        )
        return F.center_crop(resized, [self.size, self.size])


class Normalisation:
    """Normalisation of bytes for the model: (x / 255 - mean) / std, on the host or on a device.

    The same float32 operations in the same order everywhere, so that the results are equal bit for
    bit. Divisors are tensors: PyTorch's CUDA kernel multiplies by the reciprocal of a number.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._mean = np.array(recipe.mean, dtype=np.float32)[:, None, None]
        self._std = np.array(recipe.std, dtype=np.float32)[:, None, None]
        self._there = (torch.tensor(255.0), torch.tensor(self._mean), torch.tensor(self._std))

    def write(self, image: Pixels, out: NDArray[Any]) -> None:
        """Write an image, (height, width, 3), into ``out``, (3, height, width).

        Bytes are copied as they are; float32 is normalised, one image at a time, which stays in a
        core's cache as a batch would not.
        """
        np.copyto(out, image.transpose(2, 0, 1))
        if out.dtype == np.uint8:
            return
        np.divide(out, 255, out=out)
        np.subtract(out, self._mean, out=out)
        np.divide(out, self._std, out=out)

    def finish(self, batch: Tensor) -> Tensor:
        """Normalise a batch of bytes, (B, 3, height, width), on its device; leave float32 alone."""
        if batch.dtype != torch.uint8:
            return batch
        most, mean, std = (constant.to(batch.device) for constant in self._there)
        self._there = most, mean, std  # the copy waits for the device: once
        return batch.float().div_(most).sub_(mean).div_(std)


def _middle(tensor: Tensor, most: int) -> Tensor:
    """The middle of an image whose long side is more than ``most`` times its short side.

    A test view shows the middle alone: of 1 x 20,000 pixels, resizing all of it would take 4 GiB.
    """
    height, width = tensor.shape[-2:]
    short, long = sorted((height, width))
    if long <= most * short:
        return tensor
    cut = (long - most * short) // 2
    return tensor[..., cut : height - cut, :] if height > width else tensor[..., cut : width - cut]


def _empty(images: int, side: int, as_bytes: bool, pinned: bool) -> Tensor:
    kind = torch.uint8 if as_bytes else torch.float32
    return torch.empty((images, 3, side, side), dtype=kind, pin_memory=pinned)


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
    """Source line of each line of the reflected image, (side + 2 * most,)."""
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
