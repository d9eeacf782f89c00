"""The families of timm's models that taps read, and in what they differ.

| family | the row that a block's attention is told by |
|---|---|
| plain ViT or EVA/DINOv3 with [cls] | of the [cls] query |
| plain ViT or EVA without [cls], average pooling | of the mean of the patches' queries |
| Swin, GC ViT | of the mean of each window's queries |

EVA and DINOv3 rotate queries and keys by position. Swin and GC ViT attend within windows and have
stages of different grids and heads.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from gta.errors import GtaError
from gta.methods.readings import Blocks, TapRequest
from gta.models.windows import Windows

Grid = tuple[int, int]


def blocks_of(model: nn.Module) -> list[Any]:
    """The transformer blocks, in the order in which they run."""
    return [block for _, block in named_blocks(model)]


def named_blocks(model: nn.Module) -> list[tuple[str, Any]]:
    """Names and modules of the transformer blocks: ``blocks.0``, or ``layers.1.blocks.0``."""
    anything: Any = model
    if hasattr(model, "blocks"):
        return [(f"blocks.{i}", block) for i, block in enumerate(anything.blocks)]
    return [
        (f"{stages}.{i}.blocks.{j}", block)
        for stages in ("layers", "stages")  # of Swin, of GC ViT
        for i, stage in enumerate(getattr(model, stages, ()))
        for j, block in enumerate(stage.blocks)
    ]


def is_plain(model: nn.Module) -> bool:
    """Whether the model is timm's ``VisionTransformer`` of pre-norm blocks."""
    from timm.layers import Attention  # seconds to import; loaded already where a model exists
    from timm.models.vision_transformer import Block, VisionTransformer

    return isinstance(model, VisionTransformer) and all(
        isinstance(block, Block) and isinstance(block.attn, Attention) for block in model.blocks
    )


def is_rotary(model: nn.Module) -> bool:
    """Whether the model is one of timm's EVA family, which DINOv3 belongs to."""
    from timm.models.eva import Eva

    # keys shared by several heads have rows of their own kind
    return isinstance(model, Eva) and all(
        getattr(block.attn, "num_kv_groups", 1) == 1 for block in blocks_of(model)
    )


def is_windowed(model: nn.Module) -> bool:
    """Whether the model is a Swin or GC ViT, whose attention stays within windows."""
    from timm.models.gcvit import GlobalContextVit
    from timm.models.swin_transformer import SwinTransformer

    return isinstance(model, SwinTransformer | GlobalContextVit)


def is_known(model: nn.Module) -> bool:
    """Whether the model is of a family that taps read."""
    return is_plain(model) or is_rotary(model) or is_windowed(model)


def has_cls(model: nn.Module) -> bool:
    """Whether the model has a [cls] token."""
    return getattr(model, "cls_token", None) is not None


def pools_by_attention(model: nn.Module) -> bool:
    """Whether the head reads an attention pooling, as SigLIP's."""
    return getattr(model, "attn_pool", None) is not None


def prefix_tokens(model: nn.Module) -> int:
    """Tokens before the patches: [cls] and registers."""
    return int(getattr(model, "num_prefix_tokens", 0))


def width_of(model: nn.Module) -> int:
    """Width of the features that the head reads."""
    return int(getattr(model, "num_features"))  # noqa: B009 - a Tensor | Module to mypy


def windows_of(model: nn.Module) -> list[Windows]:
    """The windows of each block of a Swin or GC ViT.

    A grid that the windows do not fill is padded by timm; ``Windows.fills`` tells.
    """
    anything: Any = model
    if hasattr(model, "layers"):
        parts = [
            (block.input_resolution, block.window_size, block.shift_size)
            for stage in anything.layers
            for block in stage.blocks
        ]
    else:
        parts = [
            (stage.feat_size, block.window_size, (0, 0))
            for stage in anything.stages
            for block in stage.blocks
        ]
    return [Windows(*map(_pair, three)) for three in parts]


def grids_of(model: nn.Module) -> list[Grid]:
    """Rows and columns of the places that each block attends to."""
    if is_windowed(model):
        return [windows.grid for windows in windows_of(model)]
    anything: Any = model
    return [_pair(anything.patch_embed.grid_size)] * len(blocks_of(model))


def image_side(model: nn.Module) -> int:
    """Side in pixels of the images that the model takes."""
    anything: Any = model
    if is_windowed(model):
        return grids_of(model)[0][0] * int(anything.feature_info[0]["reduction"])
    return grids_of(model)[0][0] * int(anything.patch_embed.patch_size[0])


def global_blocks(model: nn.Module) -> tuple[int, ...]:
    """Indices of the blocks whose attention spans the whole image."""
    if is_windowed(model):
        return tuple(i for i, windows in enumerate(windows_of(model)) if windows.count == 1)
    return tuple(range(len(blocks_of(model))))


def indices_of(blocks: Blocks, model: nn.Module) -> tuple[int, ...]:
    """Indices of the blocks that are meant, ascending, from 0, each once.

    Raises:
        ValueError: the model has no such block.
    """
    depth = len(blocks_of(model))
    if blocks == "all":
        return tuple(range(depth))
    if blocks == "global":
        return global_blocks(model)
    for block in blocks:
        if not -depth <= block < depth:
            raise ValueError(f"no block {block} in a model of {depth} blocks (from 0, or -1)")
    return tuple(sorted({block % depth for block in blocks}))


def map_block(model: nn.Module) -> int:
    """The block whose attention is shown and held against masks.

    The last; of a windowed model the last of the finest grid that one window spans, or the last
    where windows are everywhere.
    """
    if not is_windowed(model):
        return len(blocks_of(model)) - 1
    grids, whole = grids_of(model), global_blocks(model)
    if not whole:
        return len(grids) - 1
    finest = max(grids[i] for i in whole)
    return max(i for i in whole if grids[i] == finest)


def require_readable(model: nn.Module, request: TapRequest) -> None:
    """Check that a request can be read from a model.

    Raises:
        GtaError: the model is of no family that taps read, lacks the [cls] token that the request
            reads, or checkpoints gradients.
    """
    name = type(model).__name__
    if not is_known(model):
        raise GtaError(
            f"taps: {name} is not a timm VisionTransformer of plain pre-norm blocks, nor an EVA, "
            "Swin or GC ViT"
        )
    of_query = request.cls_logits or request.cls_attention
    if not has_cls(model):
        if request.cls_rows:
            raise GtaError(f"taps: the row of [cls] is asked for, and this {name} has no [cls]")
        if pools_by_attention(model) and of_query:
            raise GtaError(f"taps: this {name} has no [cls] and pools by attention: no row is read")
    if is_windowed(model):
        if request.queries_keys:
            raise GtaError(f"taps: all rows are asked for, and those of {name} lie in windows")
        filled = all(windows.fills for windows in windows_of(model))
        if (of_query or request.msa_output) and not filled:
            raise GtaError(f"taps: windows do not fill {name}'s grids; take another image size")
    parts: list[Any] = [model, *getattr(model, "layers", ()), *getattr(model, "stages", ())]
    if any(getattr(part, "grad_checkpointing", False) for part in parts):
        raise GtaError("taps: gradient checkpointing hides readings from autograd; turn it off")


def _pair(of_two: Any) -> Grid:
    first, second = of_two
    return int(first), int(second)
