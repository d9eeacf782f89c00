"""Vision transformers by name, built by timm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import torch

from gta.catalog import ARCHITECTURES, find_architecture
from gta.errors import GtaError
from gta.models.families import is_known, is_windowed

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

ANY_SIDE = 224  # pixels; patches of 8, 14 and 16 divide it


def create(
    architecture: str, image_size: int, num_classes: int, drop_path: float = 0.0
) -> VisionTransformer:
    """Build a ViT with random weights, or another model of the ``families``.

    All have the parts of a ``VisionTransformer`` that this package uses, which is why its type
    stands for them; where they differ, ``gta.models.families`` tells.

    Args:
        architecture: of the catalog, or a model of timm by its name.
        image_size: side of the square input, pixels.
        num_classes: outputs of the head; 0 for none.
        drop_path: stochastic depth rate of the last block.

    Raises:
        GtaError: if the architecture is unknown, of no family that taps read, or the image size
            does not suit its patches.
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
    if not is_known(model) and not isinstance(model, VisionTransformer):
        name = type(model).__name__
        raise GtaError(f"architecture {architecture}: timm's {name} is of no family that is read")
    patch = patch_of(model)
    if image_size % patch:
        raise GtaError(
            f"image_size {image_size} is not a multiple of {architecture}'s patch, {patch}"
        )
    return model


def patch_of(model: torch.nn.Module) -> int:
    """Side in pixels of what one place of the last block covers: a patch of a plain ViT."""
    if not is_windowed(model):
        embed: Any = model.patch_embed
        return int(embed.patch_size[0])
    info: Any = model.feature_info
    return int(info[-1]["reduction"])


def side_of(architecture: str) -> int:
    """A side in pixels at which an architecture of any weights can be built.

    That of the weights where shapes depend on it, as the position bias of windows does.
    """
    info = find_architecture(architecture)
    if info is not None and "img_size" in info.kwargs:
        return int(info.kwargs["img_size"])
    named = re.search(r"_(\d{3})$", (info and info.timm_name) or "")
    if named and architecture.startswith(("swin", "gcvit")):
        return int(named[1])
    return ANY_SIDE


def initialise_head(model: VisionTransformer, std: float, seed: int) -> None:
    """Draw the head's weights from a truncated normal by the run's seed alone; its bias is 0.

    Args:
        model: on the CPU, with a linear classifier.
        std: of the normal; 0 makes the weights 0.
        seed: of the run.
    """
    head = model.get_classifier()
    assert isinstance(head, torch.nn.Linear)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if std:
        generator = torch.Generator().manual_seed(seed)
        torch.nn.init.trunc_normal_(head.weight, std=std, generator=generator)
