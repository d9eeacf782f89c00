"""Readings that methods can request from a ViT. No torch here.

``gta.models.taps`` takes the readings. Shapes: B images, M blocks read, T tokens of which N are
patches (the others are the prefix: [cls], then registers), D the width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

Block = Annotated[int, Field(ge=-1000, le=999)]
Blocks = Literal["all", "global"] | Annotated[tuple[Block, ...], Field(min_length=1)]
"""Block indices, -1 being the last block, ``"all"``, or ``"global"``.

``global`` are the blocks whose attention spans the whole image: all but in models of windows.
"""


@dataclass(frozen=True)
class TapRequest:
    """Readings to take, and from which blocks: ``Blocks``.

    ``a | b`` requests what either requests. Of a model without [cls], the mean of the queries
    answers for it where ``Readings`` says so.

    Attributes:
        cls_logits: attention logits of the [cls] query over the patches, before the softmax.
        cls_attention: attention of [cls] on the patches, after the softmax over all tokens.
        cls_rows: attention logits of the [cls] query over all tokens, before the softmax.
        queries_keys: queries and keys of all tokens, after their norms.
        msa_output: output of the attention module, after its projection.
        block_output: output of the block.
        features: input of the head.
    """

    cls_logits: Blocks = ()
    cls_attention: Blocks = ()
    cls_rows: Blocks = ()
    queries_keys: Blocks = ()
    msa_output: Blocks = ()
    block_output: Blocks = ()
    features: bool = False

    def __or__(self, other: TapRequest) -> TapRequest:
        return TapRequest(
            _union(self.cls_logits, other.cls_logits),
            _union(self.cls_attention, other.cls_attention),
            _union(self.cls_rows, other.cls_rows),
            _union(self.queries_keys, other.queries_keys),
            _union(self.msa_output, other.msa_output),
            _union(self.block_output, other.block_output),
            self.features or other.features,
        )


@dataclass(frozen=True)
class Readings:
    """Readings of one forward pass; a kind that was not requested is None or empty.

    Blocks are in ascending order, so ``[-1]`` is the last block that was requested.

    Attributes:
        cls_logits: (M, B, heads, N), q k^T / sqrt(d_head) with q of [cls] and k of the patches;
            at least float32, also under autocast. Equation 5 of the paper compares these.
        cls_attention: (M, B, heads, N), the patches' part of the softmax over all T keys: rows
            sum to 1 less the share of the prefix tokens.
        cls_rows: (M, B, heads, T), as ``cls_logits`` with the keys of all tokens.
        queries_keys: M pairs (B, heads, T, d_head), before the scale 1 / sqrt(d_head).
        msa_output: M tensors (B, T, D), before layer scale and the skip connection.
        block_output: M tensors (B, T, D).
        features: (B, D), after norm, pooling and ``fc_norm``.
        prefix_tokens: T - N.
        pooled_logits: of a model without [cls], in place of ``cls_logits``: M tensors (B, heads,
            N), the mean over the patches' queries of q k^T / sqrt(d_head) and the position bias,
            in windows over the queries of the window; patches row by row. Heads and N may differ
            between blocks.
        pooled_attention: likewise in place of ``cls_attention``: the mean over queries of the
            softmax.
    """

    cls_logits: Tensor | None = None
    cls_attention: Tensor | None = None
    cls_rows: Tensor | None = None
    queries_keys: tuple[tuple[Tensor, Tensor], ...] = ()
    msa_output: tuple[Tensor, ...] = ()
    block_output: tuple[Tensor, ...] = ()
    features: Tensor | None = None
    prefix_tokens: int = 1
    pooled_logits: tuple[Tensor, ...] = ()
    pooled_attention: tuple[Tensor, ...] = ()


# Readings by the kind of request that they answer; those of a stack are one tensor.
STACKED = {"cls_logits": "cls_logits", "cls_attention": "cls_attention", "cls_rows": "cls_rows"}
LISTED = {
    "queries_keys": "queries_keys",
    "msa_output": "msa_output",
    "block_output": "block_output",
    "pooled_logits": "cls_logits",
    "pooled_attention": "cls_attention",
}


def narrowed(
    readings: Readings,
    taken: TapRequest,
    wanted: TapRequest | None,
    indices: Callable[[Blocks], Sequence[int]],
) -> Readings:
    """The part of readings that one of several requests asked for.

    Args:
        readings: of one forward pass.
        taken: what was requested, ``wanted`` and more.
        wanted: the one request; None for nothing.
        indices: ascending indices of blocks of the model.
    """
    wanted = wanted or TapRequest()
    found: dict[str, Any] = {"prefix_tokens": readings.prefix_tokens}
    if wanted.features:
        found["features"] = readings.features
    for kind, request in (STACKED | LISTED).items():
        own, value = list(indices(getattr(wanted, request))), getattr(readings, kind)
        if not own or value is None or not len(value):
            continue
        there = list(indices(getattr(taken, request)))
        if own != there:
            places = [there.index(block) for block in own]
            value = value[places] if kind in STACKED else tuple(value[place] for place in places)
        found[kind] = value
    return Readings(**found)


def _union(a: Blocks, b: Blocks) -> Blocks:
    if isinstance(a, str) or isinstance(b, str):
        return a if not b or a == b else "all" if a else b
    return tuple(sorted({*a, *b}))
