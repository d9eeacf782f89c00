"""Names of ViT tensors in other code bases, and their counterparts in timm.

timm keeps the names of DINO, iBOT, DeiT, MAE and DINOv2. The others:

- BEiT, MFM: ``attn.q_bias`` and ``attn.v_bias``; the bias of the keys is zero.
- DINOv2 trained in chunks: ``blocks.<chunk>.<block>``; with registers: ``register_tokens``, and
  [cls] carries its position itself in timm.
- transformers: ``embeddings.*``, ``encoder.layer.<block>.*`` of ViT, DeiT, DINO and DINOv2.
- OpenAI's CLIP and OpenCLIP: ``class_embedding``, ``transformer.resblocks.<block>.*``.
- DINOv3: ``storage_tokens``, ``ls1.gamma``; the bias of the keys is masked to zero.
- Swin: patches are merged at the end of a stage, in timm at the start of the next.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gta.errors import GtaError

ANCHOR = "patch_embed.proj.weight"  # every ViT of timm has it, and Swin
# Of each code base the tensor that every model has, and its name.
ANCHORS = {
    ANCHOR: "",
    "stem.conv1.weight": "",  # GC ViT
    "embeddings.patch_embeddings.projection.weight": "transformers",
    "conv1.weight": "CLIP",
}
_CLIP_MARK = "class_embedding"  # since other networks have a conv1, too

Weights = dict[str, Tensor]


def prefixes(names: Sequence[str]) -> list[str]:
    """Prefixes of the parameter names of each ViT in a state dict."""
    found = []
    for anchor in ANCHORS:
        for name in names:
            if not f".{name}".endswith(f".{anchor}"):
                continue
            prefix = name.removesuffix(anchor)
            if anchor != "conv1.weight" or f"{prefix}{_CLIP_MARK}" in names:
                found.append(prefix)
    return found


def in_timms_names(weights: Weights, path: Path) -> tuple[Weights, list[str], str]:
    """Rename a backbone's tensors to timm's.

    Args:
        weights: tensors without what stood before their names.
        path: the file, for messages.

    Returns:
        The tensors; names that were dropped as parts of pre-training; the code base whose names
        they were, empty for timm's.

    Raises:
        GtaError: if tensors that belong together are not all there.
    """
    dropped: list[str] = []
    layout = next((ANCHORS[anchor] for anchor in ANCHORS if anchor in weights), "")
    if layout == "transformers":
        weights, dropped = _from_transformers(weights, path)
    elif layout == "CLIP":
        weights, dropped = _from_clip(weights)
    elif "storage_tokens" in weights:
        weights, dropped = _from_dinov3(weights)
        layout = "DINOv3"
    elif "layers.0.downsample.reduction.weight" in weights:
        weights, layout = _from_swin(weights), "Swin"
    weights = _with_qkv_bias(_without_chunks(weights), path)
    return _with_registers(weights), dropped, layout


def _without_chunks(weights: Weights) -> Weights:
    """``blocks.2.7.norm1.weight`` of DINOv2's chunks is ``blocks.7.norm1.weight``."""
    return {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name): t for name, t in weights.items()}


def _with_qkv_bias(weights: Weights, path: Path) -> Weights:
    """Join BEiT's biases of queries and values; its keys are trained without one.

    A bias of the keys changes no attention but shifts each row of logits: it must be zero.
    """
    renamed = dict(weights)
    for name in [name for name in weights if name.endswith(".attn.q_bias")]:
        block = name.removesuffix("q_bias")
        queries = renamed.pop(name)
        if f"{block}v_bias" not in renamed or f"{block}qkv.bias" in renamed:
            raise GtaError(f"{path}: {block}q_bias needs {block}v_bias beside it, not a qkv.bias")
        values = renamed.pop(f"{block}v_bias")
        keys = renamed.pop(f"{block}k_bias", torch.zeros_like(queries))
        renamed[f"{block}qkv.bias"] = torch.cat([queries, keys, values])
    return renamed


def _with_registers(weights: Weights) -> Weights:
    """DINOv2's registers: in timm, [cls] carries its own position and registers have none."""
    if "register_tokens" not in weights or not {"cls_token", "pos_embed"} <= weights.keys():
        return weights
    renamed = dict(weights)
    positions = renamed["pos_embed"]
    renamed["reg_token"] = renamed.pop("register_tokens")
    renamed["cls_token"] = renamed["cls_token"] + positions[:, :1]
    renamed["pos_embed"] = positions[:, 1:].contiguous()
    return renamed


_TRANSFORMERS = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale1\.lambda1$", ".ls1.gamma"),
    (r"\.layer_scale2\.lambda1$", ".ls2.gamma"),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^layernorm\.", "norm."),
)


def _from_transformers(weights: Weights, path: Path) -> tuple[Weights, list[str]]:
    renamed: Weights = {}
    dropped: list[str] = []
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        if name == "embeddings.mask_token" or name.startswith("pooler."):
            dropped.append(name)
            continue
        own = name
        for pattern, replacement in _TRANSFORMERS:
            own = re.sub(pattern, replacement, own)
        found = re.fullmatch(r"(.*)\.attention\.attention\.(query|key|value)\.(\w+)", own)
        if found is None:
            renamed[own] = tensor
        else:
            parts.setdefault(f"{found[1]}.attn.qkv.{found[3]}", {})[found[2]] = tensor
    for own, three in parts.items():
        if three.keys() != {"query", "key", "value"}:
            raise GtaError(f"{path}: of {own} only {', '.join(three)} are there")
        renamed[own] = torch.cat([three["query"], three["key"], three["value"]])
    return renamed, dropped


_CLIP = (
    (r"^conv1\.", "patch_embed.proj."),
    (r"^positional_embedding$", "pos_embed"),
    (r"^class_embedding$", "cls_token"),
    (r"^transformer\.resblocks\.", "blocks."),
    (r"^ln_pre\.", "norm_pre."),
    (r"^ln_post\.", "norm."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


def _from_clip(weights: Weights) -> tuple[Weights, list[str]]:
    """Names of CLIP's image encoder; its projection into the space of texts is dropped."""
    renamed: Weights = {}
    for name, tensor in weights.items():
        own = name
        for pattern, replacement in _CLIP:
            own = re.sub(pattern, replacement, own)
        if own == "cls_token":
            tensor = tensor.reshape(1, 1, -1)
        elif own == "pos_embed" and tensor.ndim == 2:
            tensor = tensor.unsqueeze(0)
        renamed[own] = tensor
    return {name: t for name, t in renamed.items() if name != "proj"}, [
        name for name in weights if name == "proj"
    ]


_DINOV3 = (
    (r"^storage_tokens$", "reg_token"),
    (r"\.ls(\d)\.gamma$", r".gamma_\1"),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)


def _from_dinov3(weights: Weights) -> tuple[Weights, list[str]]:
    """Names of DINOv3; biases of queries, keys and values that are all zero are dropped.

    So they are in the distilled models, for which timm has architectures without them.
    """
    biases = [name for name in weights if name.endswith(".attn.qkv.bias")]
    zero = not any(bool(weights[name].any()) for name in biases)
    renamed: Weights = {}
    for name, tensor in weights.items():
        if name in biases:
            if not zero:
                queries, keys, values = tensor.chunk(3)
                renamed[name] = torch.cat([queries, torch.zeros_like(keys), values])
            continue
        own = name
        for pattern, replacement in _DINOV3:
            own = re.sub(pattern, replacement, own)
        renamed[own] = tensor
    return renamed, biases if zero else []


def _from_swin(weights: Weights) -> Weights:
    """``layers.0.downsample`` of Microsoft's Swin is ``layers.1.downsample``."""
    return {
        re.sub(
            r"^layers\.(\d+)\.downsample\.",
            lambda found: f"layers.{int(found[1]) + 1}.downsample.",
            name,
        ): tensor
        for name, tensor in weights.items()
    }


def with_separate_biases(weights: Weights, names: Collection[str], path: Path) -> Weights:
    """Part ``attn.qkv.bias`` for a model that keeps those of queries and values, as timm's EVA.

    Args:
        weights: in timm's names.
        names: of the model's tensors.
        path: the file, for messages.

    Raises:
        GtaError: if the keys have a bias, for which such a model has no place.
    """
    parted = dict(weights)
    for name in [name for name in weights if name.endswith(".attn.qkv.bias")]:
        block = name.removesuffix("qkv.bias")
        if f"{block}q_bias" not in names:
            continue
        queries, keys, values = parted.pop(name).chunk(3)
        if keys.any():
            raise GtaError(f"{path}: {name}: the keys have a bias, and the model has none")
        parted |= {f"{block}q_bias": queries.clone(), f"{block}v_bias": values.clone()}
    return parted


def select_channels(weights: Mapping[str, Tensor], channels: Iterable[int], path: Path) -> Weights:
    """Keep some input channels of the patch embedding.

    They are scaled by all / kept, so that the sum over channels keeps its expected size.

    Args:
        weights: in timm's names.
        channels: from 0, in the order of R, G, B.
        path: the file, for messages.

    Raises:
        GtaError: if the embedding has no such channels.
    """
    embedding, kept = weights[ANCHOR], list(channels)
    last = embedding.shape[1] - 1
    if not kept or max(kept) > last or min(kept) < 0:
        raise GtaError(f"{path}: in_channels {kept}: the file has channels 0 to {last}")
    scaled = embedding[:, kept] * (embedding.shape[1] / len(kept))
    return {**weights, ANCHOR: scaled.contiguous()}
