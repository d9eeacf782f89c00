"""Checkpoints in the forms people publish, read without running their code, in timm's names.

timm keeps the names of DINO, iBOT, DeiT and DINOv2 inside a ViT; what differs is where in the
file the ViT lies, what stands before its names, and what lies beside it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gta.errors import GtaError

# Where training code puts a model inside its checkpoint. The teacher comes first: it is what
# DINO, iBOT and DINOv2 evaluate and release of the two that their full checkpoints hold.
CONTAINERS = ("teacher", "state_dict", "model")
# What full checkpoints hold beside tensors: the arguments of their training.
ALLOWED = (argparse.Namespace,)
# Parts of pre-training alone: classifiers, projection heads, and what stands for a masked patch
# (DINOv2's name and iBOT's).
NO_BACKBONE = (
    *("head", "fc", "projection_head", "dino_head", "ibot_head"),
    *("mask_token", "masked_embed"),
)
ANCHOR = "patch_embed.proj.weight"  # every ViT has it, so it shows what stands before the names


@dataclass(frozen=True)
class Backbone:
    """The backbone of a checkpoint.

    Attributes:
        weights: its tensors in float32, in timm's names.
        dropped: the checkpoint's names that are parts of pre-training alone.
        form: how it lay in the file, e.g. ``'teacher', names begin with module.backbone.``
    """

    weights: dict[str, Tensor]
    dropped: tuple[str, ...]
    form: str


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, safetensors or ``torch.save`` of any age, without running its code.

    Which of the two a file is, its first bytes say, whatever its name.

    Returns:
        What it holds: tensors by name, or such mappings beside other things of the training.

    Raises:
        GtaError: if the file is missing, damaged or no checkpoint, or if it is a pickle that asks
            for a class or function besides tensors and ``ALLOWED``.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        # safetensors: the header's length in eight bytes, then the header in JSON
        if start[8:] == b"{" or path.suffix == ".safetensors":
            return load_file(path)
    except SafetensorError as error:
        raise GtaError(f"{path}: cannot be read as safetensors: {error}") from None
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        raise GtaError(f"{path}: {_reason(error)}") from None
    if not isinstance(content, dict):
        raise GtaError(f"{path}: holds a {type(content).__name__} in place of tensors by name")
    return content


def _reason(error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked is None:
        # Of torch's advice only the fault: the advice is to open the file without care.
        detail = re.split(r"[.:]\s", f"{error}".strip() or type(error).__name__)[0]
        return f"damaged, or not written by torch.save: {detail}"
    allowed = ", ".join(f"{one.__module__}.{one.__qualname__}" for one in ALLOWED)
    return (
        f"refused: to be read it wants to call {asked[1]}, which could do anything; "
        f"besides tensors only {allowed} is let in"
    )


def to_timm(checkpoint: Mapping[str, Any], path: Path) -> Backbone:
    """Find the one backbone of a checkpoint and give it timm's names.

    Whether it is whole is seen only when it is loaded into its architecture.

    Args:
        checkpoint: as ``read_checkpoint`` gives it.
        path: its file, for messages.

    Raises:
        GtaError: if there is no backbone or more than one, if beside it lies a tensor that is not
            known to be of pre-training alone, or if a value is not finite.
    """
    container, state = _state(checkpoint, path)
    prefix = _prefix(state, path)
    beside = "".join(prefix[:-1].rpartition(".")[:2])  # "module.backbone." -> "module."
    weights, dropped, strange = {}, [], []
    for name, tensor in state.items():
        inside = name.startswith(prefix)
        own = name.removeprefix(prefix if inside else beside)
        if own.partition(".")[0] in NO_BACKBONE:
            dropped.append(name)
        elif inside:
            weights[own] = tensor.float().contiguous()
        else:
            strange.append(name)
    if strange:
        raise GtaError(
            f"{path}: has {len(strange)} tensors beside the backbone {prefix[:-1]} that are not "
            f"known: {some(strange)}"
        )
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise GtaError(f"{path}: {name} has values that are not finite")
    names = f"names begin with {prefix}" if prefix else "timm's names"
    return Backbone(weights, tuple(sorted(dropped)), f"{container}, {names}")


def _state(checkpoint: Mapping[str, Any], path: Path) -> tuple[str, dict[str, Tensor]]:
    """Where in a checkpoint the tensors lie, and the tensors."""
    where, state = "flat", checkpoint
    for key in CONTAINERS:
        if isinstance(checkpoint.get(key), Mapping):
            where, state = repr(key), checkpoint[key]
            break
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise GtaError(
            f"{path}: has no mapping of tensors at its top or under {', '.join(CONTAINERS)}; "
            f"it holds: {some([str(key) for key in checkpoint]) or 'nothing'}"
        )
    return where, dict(state)


def _prefix(state: Mapping[str, Tensor], path: Path) -> str:
    found = [name.removesuffix(ANCHOR) for name in state if f".{name}".endswith(f".{ANCHOR}")]
    if not found:
        raise GtaError(f"{path}: is no ViT, it has no {ANCHOR}; it holds: {some(list(state))}")
    if len(found) > 1:
        raise GtaError(f"{path}: holds {len(found)} backbones: {some(found)}; keep one of them")
    return found[0]


def some(names: Sequence[str]) -> str:
    """The first five of many names, for a message of one line."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
