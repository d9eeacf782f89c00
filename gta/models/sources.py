"""Pre-trained sources: from their files to a frozen backbone, strictly."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from gta.catalog import ARCHITECTURES
from gta.data.fetch.archives import Checked
from gta.errors import GtaError
from gta.files import atomic_write
from gta.models.checkpoints import read_checkpoint
from gta.models.families import blocks_of
from gta.models.layouts import with_separate_biases
from gta.models.parts import add_parts
from gta.models.published import Backbone, Choice, some, to_timm
from gta.models.vit import create, side_of

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def convert(origin: Checked, architecture: str, path: Path, choice: Choice | None = None) -> None:
    """Write a checkpoint's backbone as float32 safetensors in timm's names.

    Its metadata say where it comes from: architecture; origin, origin_sha256 and origin_form (the
    file's name and digest, and how the backbone lay in it); dropped (the file's names that are no
    part of the backbone); weights_digest.

    Raises:
        GtaError: if the file is not a checkpoint of the architecture (also by its number of
            attention heads, which no tensor's shape tells), or ``path`` cannot be written.
    """
    backbone = to_timm(read_checkpoint(origin.path), origin.path, choice or Choice())
    model = create(architecture, side_of(architecture), num_classes=0)
    _check_heads(backbone, model, architecture, origin.path)
    weights = with_separate_biases(backbone.weights, model.state_dict(), origin.path)
    weights, unused = _for_pooling(weights, model)
    load_backbone(model, weights, origin.path)
    metadata = {
        "architecture": architecture,
        "dropped": ", ".join(sorted((*backbone.dropped, *unused))),
        "origin": origin.path.name,
        "origin_form": backbone.form,
        "origin_sha256": origin.sha256,
        "weights_digest": weights_digest(weights),
    }
    content = _in_order(save(weights, metadata))
    with atomic_write(path) as hidden:
        hidden.write_bytes(content)


def _check_heads(
    backbone: Backbone, model: VisionTransformer, architecture: str, path: Path
) -> None:
    """Check the number of attention heads against what the checkpoint says or is known of it.

    Tensors have the same shapes whatever the number of heads: a wrong one gives other features
    and attention without an error.

    Raises:
        GtaError: if they differ.
    """
    heads = int(blocks_of(model)[0].attn.num_heads)
    if backbone.heads is None or backbone.heads[0] == heads:
        return
    declared, where = backbone.heads
    same = [
        name
        for name, info in ARCHITECTURES.items()
        if info.kwargs.get("num_heads") == declared and name.startswith(architecture[:9])
    ]
    raise GtaError(
        f"{path}: has {declared} attention heads by {where}, and {architecture} has {heads}: its "
        "shapes would fit and its attention would be wrong",
        remedy=f"take the architecture {' or '.join(same) or f'with {declared} heads'}, or say "
        f"`heads: {heads}` in the source's stanza if the file is otherwise",
    )


def _for_pooling(
    weights: Mapping[str, Tensor], model: VisionTransformer
) -> tuple[dict[str, Tensor], list[str]]:
    """Weights for a model that pools patches, and the names that it does not use.

    Such a model has a new norm behind the pooling (``fc_norm``) in place of the one before it,
    as MAE fine-tunes.
    """
    fitted = dict(weights)
    norm = getattr(model, "fc_norm", None)
    if not isinstance(norm, torch.nn.LayerNorm) or "fc_norm.weight" in weights:
        return fitted, []
    unused = [str(name) for name in ("norm.weight", "norm.bias") if name in fitted]
    if isinstance(model.norm, torch.nn.Identity):
        for name in unused:
            del fitted[name]
        width = int(model.embed_dim)
        fitted |= {"fc_norm.weight": torch.ones(width), "fc_norm.bias": torch.zeros(width)}
        return fitted, unused
    return fitted, []


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted; safetensors writes them in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


@dataclass(frozen=True)
class Prepared:
    """A prepared source, read once.

    Attributes:
        path: of its file.
        digest: SHA-256 of the file.
        weights: its tensors by name.
    """

    path: Path
    digest: str
    weights: Mapping[str, Tensor]


def read_prepared(path: Path) -> Prepared:
    """Read a prepared source and check it against the digest in its metadata, if it has one.

    Raises:
        GtaError: if the file is missing, damaged or altered.
    """
    try:
        content = path.read_bytes()
        weights = load(content)
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror}") from None
    except SafetensorError as error:
        raise GtaError(f"{path}: cannot be read as safetensors: {error}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    expected = header.get("__metadata__", {}).get("weights_digest")
    if expected is not None and expected != weights_digest(weights):
        what = "its weights are not those its metadata names"
        raise GtaError(what, where=path, remedy="get it again")
    return Prepared(path, hashlib.sha256(content).hexdigest(), weights)


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
    return frozen_source(read_weights(path), path, architecture, image_size)


def frozen_source(
    weights: Mapping[str, Tensor], path: Path, architecture: str, image_size: int
) -> VisionTransformer:
    """As ``load_source``, from weights that were read from ``path``."""
    model = create(architecture, image_size, num_classes=0)
    load_backbone(model, weights, path)
    return model.eval().requires_grad_(False)


def load_backbone(model: VisionTransformer, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Fill every parameter of ``model`` but its head from ``weights``, in float32.

    Position embeddings of another image size are resampled. Parts that the weights hold beside a
    plain ViT's (``gta.models.parts``) are added to the model.

    Raises:
        GtaError: if a backbone key is missing, has another shape, or a key is not used.
    """
    add_parts(model, weights)
    own = {name: t for name, t in model.state_dict().items() if not name.startswith("head.")}
    given = {name: t.float() for name, t in weights.items() if not name.startswith("head.")}
    if "pos_embed" in given and "pos_embed" in own:
        given["pos_embed"] = _resample(model, given["pos_embed"])
    missing, unused = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing:
        raise GtaError(f"{origin}: lacks {len(missing)} of the model's keys: {some(missing)}")
    if unused:
        raise GtaError(f"{origin}: has {len(unused)} keys the model does not use: {some(unused)}")
    for name, tensor in own.items():
        if given[name].shape != tensor.shape:
            raise GtaError(
                f"{origin}: {name} has shape {tuple(given[name].shape)}, "
                f"the model's is {tuple(tensor.shape)}"
            )
    model.load_state_dict({**model.state_dict(), **given})


def _resample(model: VisionTransformer, embedding: Tensor) -> Tensor:
    """Bring a position embedding to the model's grid; one that is not a square grid is left alone.

    Bicubic without antialiasing, as DINO's, iBOT's and DINOv2's ``interpolate_pos_encoding``, but
    without the 0.1 that they add to the number of patches against rounding: it shifts the
    positions by up to a tenth of a patch.
    """
    own = model.pos_embed
    prefix = 0 if model.no_embed_class else model.num_prefix_tokens
    if own is None or embedding.ndim != 3 or embedding.shape[::2] != own.shape[::2]:
        return embedding
    patches = embedding.shape[1] - prefix
    if embedding.shape == own.shape or patches < 1 or math.isqrt(patches) ** 2 != patches:
        return embedding
    from timm.layers import resample_abs_pos_embed

    return resample_abs_pos_embed(
        embedding, new_size=model.patch_embed.grid_size, num_prefix_tokens=prefix, antialias=False
    )
