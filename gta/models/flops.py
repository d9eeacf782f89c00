"""Floating-point operations of a ViT, from its architecture.

Counted are the products of matrices, two operations a multiplication and addition; all else (norms,
softmax, GELU, the loss, the optimiser) is a few percent. What an implementation computes twice, as
fused attention its scores in the backward pass, counts once. Shapes: T tokens of which N are
patches, D the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gta.methods.readings import Blocks, TapRequest
from gta.models.cls_only import needs_all_tokens, pools_cls
from gta.models.families import image_side, is_plain
from gta.models.vit import create

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


@dataclass(frozen=True)
class Flops:
    """Floating-point operations for one image."""

    forward: int
    backward: int


def outline(architecture: str, image_size: int, num_classes: int) -> VisionTransformer:
    """A ViT of shapes alone: no memory, no weights.

    Raises:
        GtaError: as ``gta.models.vit.create``.
    """
    with torch.device("meta"):
        return create(architecture, image_size, num_classes)


def training_flops(
    model: VisionTransformer,
    trains: Callable[[str], bool],
    request: TapRequest | None = None,
) -> Flops:
    """Operations for one image in training.

    The backward pass of a product of activations and weights is two products of its size: one for
    the gradient of the weights, where they train, and one for that of the activations, where
    anything before them trains.

    Models that are not plain ViTs are counted by torch, which counts products of matrices too.

    Args:
        model: of one of the ``families``; its weights may be on the meta device.
        trains: whether the parameter of a name trains.
        request: readings that training takes; where they allow it, the last block runs for [cls]
            alone. None counts the plain pass.
    """
    if not is_plain(model):
        return _counted(model, trains)
    forward = backward = 0
    depth = len(model.blocks)
    shortened = request is not None and pools_cls(model) and not needs_all_tokens(request, depth)
    flows = False  # whether what enters the next product needs a gradient
    tokens, patches = _tokens(model), int(model.patch_embed.num_patches)
    for name, parameter in model.named_parameters():
        queries = 1 if shortened and name.startswith(f"blocks.{depth - 1}.") else tokens
        if name.endswith("attn.proj.weight"):  # before it, softmax(q k^T) v
            scores = 4 * queries * tokens * int(model.embed_dim)
            forward += scores
            backward += 2 * scores * flows
        trained = trains(name)
        if name.endswith(".weight") and parameter.ndim > 1:
            of_patches = name.startswith("patch_embed.")
            rows = patches if of_patches else 1 if name.startswith("head.") else queries
            product = 2 * rows * parameter.numel()
            if name.endswith("attn.qkv.weight"):  # keys and values are of all tokens
                product = 2 * (queries + 2 * tokens) * parameter.numel() // 3
            forward += product
            backward += product * (trained + (flows and not of_patches))
        flows = flows or trained
    return Flops(forward, backward)


def source_flops(model: VisionTransformer, request: TapRequest) -> int:
    """Operations for one image in a frozen source, which is read no further than its last tap."""
    if not is_plain(model):  # it is read to its end or nearly so
        return _counted(model, lambda _: False).forward
    tokens, width, depth = _tokens(model), int(model.embed_dim), len(model.blocks)
    embedding = 2 * int(model.patch_embed.num_patches) * model.patch_embed.proj.weight.numel()
    attention = 8 * tokens * width * width + 4 * tokens * tokens * width
    block = attention + 4 * tokens * model.get_parameter("blocks.0.mlp.fc1.weight").numel()
    if request.features and pools_cls(model):
        mlp = 4 * model.get_parameter("blocks.0.mlp.fc1.weight").numel()
        keys_and_values = 4 * tokens * width * width
        last = keys_and_values + 4 * width * width + 4 * tokens * width + mlp  # of [cls] alone
        return embedding + (depth - 1) * block + last
    if request.features:
        return embedding + depth * block
    # all but the last block's keys and [cls] query, and what a reading asks for beyond
    readings = (
        (request.cls_logits, 2 * (tokens + 1) * width * width),
        (request.cls_attention, 2 * (tokens + 1) * width * width),
        (request.cls_rows, 2 * (tokens + 1) * width * width),
        (request.queries_keys, 4 * tokens * width * width),
        (request.msa_output, attention),
        (request.block_output, block),
    )
    return embedding + max(
        _last(blocks, depth) * block + within for blocks, within in readings if blocks
    )


def _counted(model: nn.Module, trains: Callable[[str], bool]) -> Flops:
    """Operations for one image, counted by torch in a pass of shapes alone."""
    side = image_side(model)
    device = next(model.parameters()).device
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains(name))
    with FlopCounterMode(display=False) as forward:
        output = model(torch.empty(1, 3, side, side, device=device))
    with FlopCounterMode(display=False) as backward:
        if output.requires_grad:
            output.sum().backward()
    return Flops(forward.get_total_flops(), backward.get_total_flops())


def _tokens(model: VisionTransformer) -> int:
    return int(model.patch_embed.num_patches) + int(model.num_prefix_tokens)


def _last(blocks: Blocks, depth: int) -> int:
    return depth - 1 if isinstance(blocks, str) else max(block % depth for block in blocks)
