"""The attention map of one image of any kind: what ``gta.attention(model, image)`` calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gta.attention.maps import read_image, upsample
from gta.errors import GtaError
from gta.models.families import image_side
from gta.models.shown import map_grid, map_shares

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Picture = str | Path | Image.Image | NDArray[np.uint8]


def attention(
    model: VisionTransformer,
    image: Picture,
    block: int = -1,
    heads: Literal["max", "mean"] | int = "max",
    resize: bool = True,
) -> NDArray[np.float32]:
    """Map the attention that [cls] pays to the patches of one image.

    The model sees the whole image, resized to its square input and normalised by the mean and
    standard deviation of ``model.pretrained_cfg``.

    Args:
        model: a timm ViT, such as ``run.model()``; without [cls], the mean over queries is shown.
        image: a path, a PIL image, or an array (h, w, 3) uint8.
        block: which block; -1 is the last.
        heads: the maximum over heads, as in the paper's figures, their mean, or one head's index.
        resize: bring the map to the image's size, bilinear; otherwise a value a patch.

    Returns:
        (h, w) float32, or (rows, columns) of the patch grid: shares of the softmax over all
        tokens, from 0 to 1.

    Raises:
        GtaError: if the image or the model's attention cannot be read, or there is no such block
            or head.
    """
    pixels = to_pixels(image)
    shares = map_shares(model, to_input(model, pixels), block)[0].cpu()
    if isinstance(heads, int):
        if not -len(shares) <= heads < len(shares):
            raise GtaError(f"heads: the model has heads 0 to {len(shares) - 1}, not {heads}")
        joined = shares[heads]
    elif heads == "max":
        joined = shares.amax(dim=0)
    elif heads == "mean":
        joined = shares.mean(dim=0)
    else:
        raise GtaError(f"heads: {heads!r} is not max, mean or the index of a head")
    grid = joined.unflatten(0, map_grid(model, block))
    if not resize:
        return grid.numpy()
    return upsample(grid[None], *pixels.shape[:2])[0]


def to_pixels(image: Picture) -> NDArray[np.uint8]:
    """An image as an array (h, w, 3) uint8.

    Raises:
        GtaError: if it cannot be read or is of another shape or type.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise GtaError(
            f"image: an array (h, w, 3) uint8 is needed, not {image.dtype} {image.shape}"
        )
    return image


def to_input(model: VisionTransformer, pixels: NDArray[np.uint8]) -> Tensor:
    """The whole image as the model takes it, (1, 3, S, S) float32 on the model's device."""
    settings: Any = model.pretrained_cfg
    side = image_side(model)
    square = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    tensor = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float().div(255)
    mean, std = (torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return ((tensor - mean) / std).to(next(model.parameters()).device)
