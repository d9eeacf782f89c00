"""Backbones of published checkpoints, in timm's names.

Checkpoints differ in where the ViT lies in the file, what stands before its names, what lies
beside it, and how its tensors are named (``layouts.py``). Nothing is dropped silently: parts of
pre-training are dropped by name and reported, anything else that is not used is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gta.errors import GtaError
from gta.models import layouts
from gta.models.checkpoints import plain
from gta.models.layouts import ANCHOR

# Where training code puts a model inside its checkpoint. The teacher comes first: DINO, iBOT and
# DINOv2 evaluate and release it, of the two that their full checkpoints hold.
CONTAINERS = ("teacher", "state_dict", "model")
# Parts of pre-training alone: classifiers, projection heads, decoders, and what stands for a
# masked patch. The first part of a name, or its beginning up to an underscore.
DROPPED = (
    *("head", "fc", "projection_head", "dino_head", "ibot_head", "head_dist"),
    *("mask_token", "masked_embed"),
    *("decoder", "projector", "predictor", "c_head", "p_head", "local_cls_norm"),
)
# What models compute anew: the last part of a name.
COMPUTED = ("relative_position_index", "attn_mask", "periods", "bias_mask")
# CLIP's encoder of texts, beside that of images.
TEXTS = (
    *("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection"),
    *("logit_scale", "logit_bias", "text", "attn_mask"),
)
DEPTH = 3  # levels of mappings in which a backbone is looked for
# Keys of a checkpoint under which trainings keep their settings, and the names of head counts.
SETTINGS = ("args", "config", "cfg", "hyper_parameters", "hparams", "model_args", "model_config")
HEADS = ("num_heads", "n_heads", "heads", "num_attention_heads")


@dataclass(frozen=True)
class Choice:
    """Options that a user gives for a checkpoint.

    Attributes:
        key: which backbone: its container, the beginning of its names, or both.
        in_channels: input channels of the patch embedding to keep, in the order of R, G, B.
        heads: attention heads of its ViT, where the file does not say or is wrong.
    """

    key: str | None = None
    in_channels: tuple[int, ...] | None = None
    heads: int | None = None


@dataclass(frozen=True)
class Backbone:
    """The backbone of a checkpoint.

    Attributes:
        weights: its tensors in float32, in timm's names.
        dropped: the checkpoint's names that are parts of pre-training alone.
        form: how it lay in the file, e.g. ``'teacher', names begin with module.backbone.``
        heads: attention heads that the file tells of, and where; None if it does not.
    """

    weights: dict[str, Tensor]
    dropped: tuple[str, ...]
    form: str
    heads: tuple[int, str] | None = None


@dataclass(frozen=True)
class _Place:
    """Location of a backbone in a checkpoint: keys, and the prefix of its names."""

    keys: tuple[str, ...]
    prefix: str
    state: Mapping[str, Any]

    @property
    def name(self) -> str:
        return ".".join((*self.keys, self.prefix.rstrip("."))).strip(".")

    @property
    def beside(self) -> str:
        """The beginning of names beside the backbone: ``module.backbone.`` -> ``module.``."""
        return "".join(self.prefix[:-1].rpartition(".")[:2])

    def is_meant_by(self, key: str) -> bool:
        own = f".{self.name}."
        return key == ".".join(self.keys) or own.startswith(f".{key}.") or own.endswith(f".{key}.")


def to_timm(checkpoint: Mapping[Any, Any], path: Path, choice: Choice = Choice()) -> Backbone:
    """Find one backbone of a checkpoint and give it timm's names.

    Whether it is complete is seen when it is loaded into its architecture.

    Args:
        checkpoint: as ``read_checkpoint`` gives it.
        path: its file, for messages.
        choice: what the user says about it.

    Raises:
        GtaError: if there is no backbone or more than one, if a tensor beside it is not known to
            be of pre-training alone, or if a tensor is not a plain floating-point one.
    """
    place, others = _choose(checkpoint, path, choice.key)
    weights, dropped, strange = {}, [], []
    for name, tensor in place.state.items():
        inside = name.startswith(place.prefix)
        own = name.removeprefix(place.prefix if inside else place.beside)
        of_texts = place.prefix.endswith("visual.") and not inside and own.split(".")[0] in TEXTS
        if _is_dropped(own) or of_texts or any(_is_of(name, other, place) for other in others):
            dropped.append(name)
        elif inside:
            weights[own] = tensor
        else:
            strange.append(name)
    if strange:
        raise GtaError(
            f"{path}: has {len(strange)} tensors beside the backbone {place.prefix[:-1]} that are "
            f"not known: {some(strange)}"
        )
    _check_tensors(weights, path)
    form = repr(".".join(place.keys)) if place.keys else "flat"
    form += f", names begin with {place.prefix}" if place.prefix else ", timm's names"
    weights = {name: tensor.float().contiguous() for name, tensor in weights.items()}
    weights, more, layout = layouts.in_timms_names(weights, path)
    if layout:
        form = form.replace("timm's names", f"names of {layout}")
    if choice.in_channels is not None:
        weights = layouts.select_channels(weights, choice.in_channels, path)
    heads = _declared_heads(checkpoint, place, choice)
    dropped += [place.prefix + name for name in more]
    return Backbone(weights, tuple(sorted(dropped)), form, heads)


def _choose(
    checkpoint: Mapping[Any, Any], path: Path, key: str | None
) -> tuple[_Place, list[_Place]]:
    """The backbone that is meant, and the others of its mapping."""
    places = list(_places(checkpoint, ()))
    if key is not None:
        found = [place for place in places if place.is_meant_by(key)]
        if len(found) != 1:
            names = ", ".join(place.name or "the top" for place in (found or places)) or "none"
            what = "several backbones" if found else "no backbone"
            raise GtaError(f"{path}: key {key!r} names {what}; there are: {names}")
        (place,) = found
        return place, [other for other in places if other.state is place.state and other != place]
    container = next((k for k in CONTAINERS if isinstance(checkpoint.get(k), Mapping)), None)
    keys = () if container is None else (container,)
    found = [place for place in places if place.keys == keys]
    if len(found) == 1:
        return found[0], []
    choices = [place.name for place in (found or places) if place.name]
    remedy = f"choose one by `key:` in the source's stanza: {' or '.join(choices)}"
    if found:
        prefixes = some([place.prefix for place in found])
        raise GtaError(f"{path}: holds {len(found)} backbones: {prefixes}", remedy=remedy)
    state = checkpoint if container is None else checkpoint[container]
    if state and all(isinstance(value, Tensor) for value in state.values()):
        raise GtaError(
            f"{path}: is not a ViT, it has no {ANCHOR}; it holds: {some(list(map(str, state)))}"
        )
    holds = some([str(name) for name in checkpoint]) or "nothing"
    raise GtaError(
        f"{path}: has no mapping of tensors at its top or under {', '.join(CONTAINERS)}; it "
        f"holds: {holds}",
        remedy=remedy if choices else "",
    )


def _places(content: Mapping[Any, Any], keys: tuple[str, ...]) -> Iterator[_Place]:
    """All backbones of a checkpoint."""
    if content and all(isinstance(value, Tensor) for value in content.values()):
        names = [name for name in content if isinstance(name, str)]
        if len(names) == len(content):
            for prefix in layouts.prefixes(names):
                yield _Place(keys, prefix, content)
        return
    if len(keys) < DEPTH:
        for key, value in content.items():
            if isinstance(value, Mapping) and isinstance(key, str):
                yield from _places(value, (*keys, key))


def _is_dropped(name: str) -> bool:
    first = name.partition(".")[0]
    computed = name.rpartition(".")[2] in COMPUTED
    return computed or first in DROPPED or first.startswith("decoder_")


def _is_of(name: str, other: _Place, place: _Place) -> bool:
    """Whether a tensor is of another backbone or lies beside it."""
    if name.startswith(other.prefix):
        return not place.prefix.startswith(other.prefix) or not name.startswith(place.prefix)
    return other.beside != place.beside and bool(other.beside) and name.startswith(other.beside)


def _check_tensors(weights: Mapping[str, Tensor], path: Path) -> None:
    """Check that tensors are dense floating-point data that lie in the file.

    Raises:
        GtaError: naming the first that is not.
    """
    for name, tensor in weights.items():
        kind = None
        if tensor.layout != torch.strided or tensor.is_nested:
            kind = f"a tensor of layout {str(tensor.layout).removeprefix('torch.')}"
        elif tensor.is_quantized:
            kind = "quantised"
        elif tensor.device.type != "cpu":
            kind = f"on the device {tensor.device}, without values"
        elif not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
            kind = f"of type {str(tensor.dtype).removeprefix('torch.')}, not floating point"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            kind = (
                f"expanded: {tensor.numel():,} values of which "
                f"{tensor.untyped_storage().nbytes() // tensor.element_size():,} are in the file"
            )
        elif not bool(tensor.isfinite().all()):
            raise GtaError(f"{path}: {name} has values that are not finite")
        if kind is not None:
            raise GtaError(f"{path}: {name} is {kind}; save plain float weights")


def _declared_heads(
    checkpoint: Mapping[Any, Any], place: _Place, choice: Choice
) -> tuple[int, str] | None:
    """Number of heads by the user, the checkpoint's settings or its layout."""
    if choice.heads is not None:
        return choice.heads, "`heads` of the source's stanza"
    for key in SETTINGS:
        if key in checkpoint:
            found = list(_find_heads(plain(checkpoint[key]), key))
            if len({heads for heads, _ in found}) == 1:
                return found[0]
    moco = re.search(r"(base|momentum)_encoder\.$", place.prefix)
    if moco is not None:
        return 12, f"the layout of MoCo v3 ({moco[0].rstrip('.')}), whose ViTs all have 12"
    if place.prefix.endswith(("student.net.", "teacher.net.")):
        width = place.state[place.prefix + ANCHOR].shape[0]
        return (6 if width == 192 else 12), "the layout of SDSSL, whose ViTs have heads of 32"
    return None


def _find_heads(settings: Any, where: str) -> Iterator[tuple[int, str]]:
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        if key in HEADS and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            yield value, f"{where}.{key}"
        elif isinstance(value, dict) and where.count(".") < DEPTH and "decoder" not in key:
            yield from _find_heads(value, f"{where}.{key}")


def some(names: Sequence[str]) -> str:
    """The first five of many names, for a message of one line."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
