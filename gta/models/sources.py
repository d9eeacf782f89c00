"""Pre-trained sources: from their files to a frozen backbone, strictly."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file, save
from torch import Tensor

from gta.catalog import Archive
from gta.data.fetch.archives import Checked, Progress, check, find
from gta.data.fetch.download import fetch
from gta.errors import GtaError
from gta.files import atomic_write
from gta.models.published import read_checkpoint, some, to_timm
from gta.models.vit import create
from gta.study import Study

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

ANY_SIDE = 224  # pixels; patches of 8, 14 and 16 divide it


def prepare_source(study: Study, name: str, progress: Progress | None = None) -> Path:
    """Put a source's weights where the study's jobs look for them, with timm's names.

    A shipped file is checked and copied; any other is taken from where it was placed by hand, or
    fetched, and converted. The same file gives the same bytes.

    Args:
        study: the study.
        name: of a source of the catalog or of the study's own.
        progress: called with bytes fetched and bytes in all.

    Returns:
        The prepared file.

    Raises:
        GtaError: if the source is unknown, its file cannot be had, is not the one published, or
            does not fit the source's architecture.
    """
    info, path = study.source_info(name), study.weights(name)
    if info.shipped is None:
        convert(original(study, name, progress), info.architecture, path)
        return path
    with as_file(files("gta.models") / "weights" / info.shipped) as shipped:
        check_weights(Path(shipped))
        with atomic_write(path) as hidden:
            shutil.copyfile(shipped, hidden)
    return path


def original(study: Study, name: str, progress: Progress | None = None) -> Checked:
    """A source's file as its authors publish it: placed by hand, or else fetched.

    Args:
        study: the study; a source that is not shipped.
        name: of the source.
        progress: called with bytes fetched and bytes in all.

    Returns:
        The file, and how far it was checked.

    Raises:
        GtaError: if the file cannot be had or is not the one published.
    """
    info, digests = study.source_info(name), study.store_root / "digests"
    places = []
    if info.archive is not None:
        file = Path(info.archive.file).expanduser()
        if file.parent == Path():
            places.append((study.weights_root, info.archive))
        else:  # one of the user's own
            file = study.resolve(info.archive.file)
            places.append((file.parent, replace(info.archive, file=file.name)))
    if info.hub is not None:
        places.append((study.weights_root, hub_archive(info.hub)))
    for folder, archive in places:
        if (placed := find(archive, folder)) is not None:
            return check(archive, placed, digests)
    faults = []
    for folder, archive in places:
        try:
            return check(archive, fetch(archive, folder, digests, progress), digests)
        except GtaError as error:
            faults.append(str(error))
    raise GtaError(f"{name}: {'; or: '.join(faults)}")


def hub_archive(name: str) -> Archive:
    """The file of a model on the Hugging Face hub.

    Args:
        name: ``owner/model``, or what timm calls one of its own: ``vit_small_patch16_224.dino``.
    """
    from huggingface_hub import hf_hub_url

    model = name if "/" in name else f"timm/{name}"
    file = f"{model.replace('/', '--')}.safetensors"
    return Archive(file, (hf_hub_url(model, "model.safetensors"),))


def convert(origin: Checked, architecture: str, path: Path) -> None:
    """Write a checkpoint's backbone as float32 safetensors in timm's names.

    Its metadata say where it comes from: architecture; origin, origin_sha256 and origin_form (the
    file's name and digest, and how the backbone lay in it); dropped (the file's names that are no
    part of the backbone); weights_digest.

    Raises:
        GtaError: if the file is no checkpoint of the architecture, or ``path`` cannot be written.
    """
    backbone = to_timm(read_checkpoint(origin.path), origin.path)
    load_backbone(create(architecture, ANY_SIDE, num_classes=0), backbone.weights, origin.path)
    metadata = {
        "architecture": architecture,
        "dropped": ", ".join(backbone.dropped),
        "origin": origin.path.name,
        "origin_form": backbone.form,
        "origin_sha256": origin.sha256,
        "weights_digest": weights_digest(backbone.weights),
    }
    content = _in_order(save(backbone.weights, metadata))
    with atomic_write(path) as hidden:
        hidden.write_bytes(content)


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted; safetensors writes them in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


def check_weights(path: Path) -> dict[str, str]:
    """Check a shipped or prepared file against the digest in its metadata; return the metadata.

    Raises:
        GtaError: if the file is missing, damaged or altered.
    """
    metadata = read_metadata(path)
    found = weights_digest(read_weights(path))
    if metadata.get("weights_digest") != found:
        raise GtaError(f"{path}: its weights are not those its metadata names; get it again")
    return metadata


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
        raise GtaError(f"{path}: its weights are not those its metadata names; get it again")
    return Prepared(path, hashlib.sha256(content).hexdigest(), weights)


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


def trained_side(path: Path) -> int:
    """Side in pixels of the images that a prepared file's position embeddings are made for.

    Raises:
        GtaError: if the file is missing or damaged.
    """
    weights = read_weights(path)
    patches = weights["pos_embed"].shape[1] - 1  # and [cls]
    return math.isqrt(patches) * weights["patch_embed.proj.weight"].shape[-1]


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

    Position embeddings of another image size are resampled.

    Raises:
        GtaError: if a backbone key is missing, has another shape, or a key is not used.
    """
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
    """Bring a position embedding to the model's grid; one that is no square grid is left alone.

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
