"""Figure of a source's attention on one image, head by head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gta.attention.maps import uncropped, upsample
from gta.data.batches.augment import Evaluator
from gta.figures.panels import Row, Shown, draw_maps
from gta.files import atomic_write
from gta.models.shown import map_grid, map_shares
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def draw_heads(
    model: VisionTransformer, recipe: Recipe, image: NDArray[np.uint8], label: str = ""
) -> Figure:
    """Draw the attention that is shown of a model: the heads' maximum, then each head.

    Args:
        model: a timm ViT, at the recipe's image size.
        recipe: image size, mean and standard deviation.
        image: (h, w, 3) uint8; it is resized to the model's square input, not cropped.
        label: text at the left.

    Raises:
        GtaError: if the model's attention cannot be read.
    """
    side = recipe.image_size
    square = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    images = Evaluator(uncropped(recipe, side))([square])
    heads = map_shares(model, images)[0].unflatten(1, map_grid(model))
    maps = upsample(torch.cat([heads.amax(dim=0, keepdim=True), heads]), side, side)
    titles = ["all, max", *(f"head {number}" for number in range(1, len(heads) + 1))]
    return draw_maps([Row(square, [Shown(values) for values in maps], label)], titles)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all.

    Raises:
        GtaError: if ``path`` cannot be written.
    """
    with atomic_write(path) as hidden:
        figure.savefig(hidden, format="png", dpi=200, bbox_inches="tight")
