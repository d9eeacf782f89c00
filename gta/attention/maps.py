"""Maps of [cls] self-attention, and images with them in red (figures 1 and B1 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gta.data.batches.augment import Evaluator
from gta.data.images import decode, quiet
from gta.errors import GtaError
from gta.files import atomic_write
from gta.models.shown import map_grid, map_shares
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Pixels = NDArray[np.uint8]
Join = Literal["max", "mean"]

RED = (255, 0, 0)
OPACITY = 0.75  # of the red where attention is strongest: the image still shows


def cls_maps(
    model: VisionTransformer, images: Tensor, block: int = -1, heads: Join = "max"
) -> Tensor:
    """The attention that [cls] pays to each patch.

    Args:
        model: a timm ViT; without [cls], the mean over queries is shown.
        images: (B, 3, S, S), normalised, on the model's device.
        block: which; -1 is the last.
        heads: ``max`` over heads, as the paper's figures, or their ``mean``.

    Returns:
        (B, rows, columns) float32 on the CPU: shares of the softmax over all tokens.

    Raises:
        GtaError: if the model cannot be read or has no such block.
    """
    shares = map_shares(model, images, block).cpu()
    joined = shares.amax(dim=1) if heads == "max" else shares.mean(dim=1)
    return joined.unflatten(1, map_grid(model, block))


def upsample(maps: Tensor, height: int, width: int) -> NDArray[np.float32]:
    """Bring maps (B, rows, columns) to (B, height, width), bilinear."""
    size = (height, width)
    larger = F.interpolate(maps.unsqueeze(1), size, mode="bilinear", align_corners=False)
    return larger.squeeze(1).numpy()


def overlay(image: Pixels, attention: NDArray[np.float32]) -> Pixels:
    """Blend an attention map in red over an image, strongest at its maximum.

    Args:
        image: (h, w, 3) uint8.
        attention: (h, w), at least 0.

    Returns:
        (h, w, 3) uint8.
    """
    peak = float(attention.max())
    opacity = OPACITY * attention[..., None] / (peak if peak > 0 else 1.0)
    mixed = (1 - opacity) * image + opacity * np.array(RED, dtype=np.float32)
    return np.rint(mixed).astype(np.uint8)


def uncropped(recipe: Recipe, size: int) -> Recipe:
    """The recipe for test images that are squares of ``size`` pixels already."""
    as_they_are = recipe.evaluation.model_copy(update={"resize": None})
    return recipe.model_copy(update={"image_size": size, "evaluation": as_they_are})


def overlay_images(
    model: VisionTransformer,
    recipe: Recipe,
    images: Sequence[Pixels],
    block: int = -1,
    heads: Join = "max",
) -> list[Pixels]:
    """Blend a model's attention over whole images of any size.

    The model sees each image resized to its square input, so that no part goes without a map.

    Args:
        model: a timm ViT, at the recipe's image size.
        recipe: image size, mean and standard deviation.
        images: each (h, w, 3) uint8.
        block: which; -1 is the last.
        heads: ``max`` or ``mean``.

    Returns:
        Each image at its own size, (h, w, 3) uint8.

    Raises:
        GtaError: as ``cls_maps``.
    """
    evaluator = Evaluator(uncropped(recipe, recipe.image_size))
    side = (recipe.image_size, recipe.image_size)
    laid = []
    for image in images:
        square = np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))
        seen = evaluator([square]).to(next(model.parameters()).device)
        maps = upsample(cls_maps(model, seen, block, heads), *image.shape[:2])
        laid.append(overlay(image, maps[0]))
    return laid


def draw_files(
    model: VisionTransformer,
    recipe: Recipe,
    paths: Sequence[Path],
    out: Path,
    block: int = -1,
    heads: Join = "max",
) -> list[Path]:
    """Write each image with the model's attention over it, as ``out/<name>.png``.

    Args:
        model: as in ``overlay_images``.
        recipe: likewise.
        paths: image files.
        out: a folder, made where missing.
        block: likewise.
        heads: likewise.

    Returns:
        The files written, in the order of ``paths``.

    Raises:
        GtaError: if an image cannot be read, two have the same name, or ``out`` cannot be
            written to.
    """
    names = [path.stem for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise GtaError(f"{out}: two images are named {name!r}; draw them into two folders")
    images = [read_image(path) for path in paths]
    written = []
    for name, image in zip(names, images, strict=True):
        (laid,) = overlay_images(model, recipe, [image], block, heads)
        written.append(out / f"{name}.png")
        with atomic_write(written[-1]) as hidden:
            Image.fromarray(laid).save(hidden)
    return written


def read_image(path: Path) -> Pixels:
    """Read an image file as datasets are read (``gta.data.images.decode``), (h, w, 3) uint8.

    Raises:
        GtaError: if it is missing, damaged, too large, or not an image.
    """
    with quiet():
        return decode(path)
