"""Pre-trained sources: from their files to a frozen backbone, strictly."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from gta.catalog import SOURCES
from gta.errors import GtaError
from gta.models.vit import create
from gta.results import whole

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def prepare_source(name: str, path: Path) -> None:
    """Put a source's weights at ``path``, as safetensors with timm's names.

    Raises:
        GtaError: if the source is unknown, or its file cannot be had or is not whole.
    """
    info = SOURCES.get(name)
    if info is None:
        raise GtaError(f"there is no source {name!r}; known: {', '.join(SOURCES)}")
    if info.shipped is None:
        raise GtaError(
            f"{name}: this version does not convert official files; place timm-named weights at "
            f"{path} (the official file: {' or '.join(info.urls)})"
        )
    with as_file(files("gta.models") / "weights" / info.shipped) as shipped:
        check_shipped(Path(shipped))
        with whole(path) as hidden:
            shutil.copyfile(shipped, hidden)


def check_shipped(path: Path) -> dict[str, str]:
    """Check a shipped file against the digest in its own metadata and return the metadata.

    Raises:
        GtaError: if the file is missing, damaged or altered.
    """
    metadata = read_metadata(path)
    found = weights_digest(read_weights(path))
    if metadata.get("weights_digest") != found:
        raise GtaError(f"{path}: its weights are not those its metadata names; get it again")
    return metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file.

    Raises:
        GtaError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise GtaError(f"{path}: cannot be read as safetensors: {error}") from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, by name.

    Raises:
        GtaError: if the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise GtaError(f"{path}: cannot be read as safetensors: {error}") from None


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_source(path: Path, architecture: str, image_size: int) -> VisionTransformer:
    """Build a frozen source without head, in evaluation mode.

    Raises:
        GtaError: if a backbone key is missing, has another shape, or a key is not used.
    """
    model = create(architecture, image_size, num_classes=0)
    load_backbone(model, read_weights(path), path)
    return model.eval().requires_grad_(False)


def load_backbone(model: VisionTransformer, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Fill every parameter of ``model`` but its head from ``weights``, in float32.

    Position embeddings of another image size are resampled (timm, bicubic).

    Raises:
        GtaError: if a backbone key is missing, has another shape, or a key is not used.
    """
    own = {name: t for name, t in model.state_dict().items() if not name.startswith("head.")}
    given = {name: t.float() for name, t in weights.items() if not name.startswith("head.")}
    if "pos_embed" in given and "pos_embed" in own:
        given["pos_embed"] = _resample(model, given["pos_embed"])
    missing, unused = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing:
        raise GtaError(f"{origin}: lacks {len(missing)} of the model's keys: {_some(missing)}")
    if unused:
        raise GtaError(f"{origin}: has {len(unused)} keys the model does not use: {_some(unused)}")
    for name, tensor in own.items():
        if given[name].shape != tensor.shape:
            raise GtaError(
                f"{origin}: {name} has shape {tuple(given[name].shape)}, "
                f"the model's is {tuple(tensor.shape)}"
            )
    model.load_state_dict({**model.state_dict(), **given})


def _resample(model: VisionTransformer, embedding: Tensor) -> Tensor:
    """Bring a position embedding to the model's grid; one that is no square grid is left alone."""
    own = model.pos_embed
    prefix = 0 if model.no_embed_class else model.num_prefix_tokens
    if own is None or embedding.ndim != 3 or embedding.shape[::2] != own.shape[::2]:
        return embedding
    patches = embedding.shape[1] - prefix
    if embedding.shape == own.shape or patches < 1 or math.isqrt(patches) ** 2 != patches:
        return embedding
    from timm.layers import resample_abs_pos_embed

    # Without antialiasing, as DINOv2's own code resamples.
    return resample_abs_pos_embed(
        embedding, new_size=model.patch_embed.grid_size, num_prefix_tokens=prefix, antialias=False
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
