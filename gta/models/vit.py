"""Vision transformers by name, built by timm."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from gta.catalog import ARCHITECTURES, find_architecture
from gta.errors import GtaError

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def create(
    architecture: str, image_size: int, num_classes: int, drop_path: float = 0.0
) -> VisionTransformer:
    """Build a ViT with random weights.

    Args:
        architecture: of the catalog, or a ViT of timm by its name.
        image_size: side of the square input, pixels.
        num_classes: outputs of the head; 0 for none.
        drop_path: stochastic depth rate of the last block.

    Raises:
        GtaError: if the architecture is unknown, is not a plain ViT, or the image size does not
            suit its patches.
    """
    info = find_architecture(architecture)
    if info is None:
        known = ", ".join(ARCHITECTURES)
        raise GtaError(f"no architecture {architecture!r}; known: {known}, and timm's ViTs")
    kwargs = {
        **info.kwargs,
        "img_size": image_size,
        "num_classes": num_classes,
        "drop_path_rate": drop_path,
    }
    import timm
    from timm.models.vision_transformer import VisionTransformer

    model: VisionTransformer = (
        VisionTransformer(**kwargs)
        if info.timm_name is None
        else cast("VisionTransformer", timm.create_model(info.timm_name, **kwargs))
    )
    if not isinstance(model, VisionTransformer):
        raise GtaError(f"architecture {architecture}: timm's {type(model).__name__} is not a ViT")
    patch = model.patch_embed.patch_size[0]
    if image_size % patch:
        raise GtaError(
            f"image_size {image_size} is not a multiple of {architecture}'s patch, {patch}"
        )
    return model


def initialise_head(model: VisionTransformer, std: float, seed: int) -> None:
    """Draw the head's weights from a truncated normal by the run's seed alone; its bias is 0.

    Args:
        model: on the CPU, with a linear head.
        std: of the normal; 0 makes the weights 0.
        seed: of the run.
    """
    head = model.head
    assert isinstance(head, torch.nn.Linear)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if std:
        generator = torch.Generator().manual_seed(seed)
        torch.nn.init.trunc_normal_(head.weight, std=std, generator=generator)
