"""Taps: readings of a timm ViT during a forward pass, which they do not change.

Hooks take the queries and keys that each block computes anyway, so the model keeps its fused
attention and no (T x T) matrix is formed: the [cls] row alone is computed, from the query of
token 0 and the keys. Shapes: B images, M blocks read, T tokens of which N are patches (the others
are the prefix: [cls], then registers), D the width.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gta.errors import GtaError
from gta.methods.readings import Blocks, Readings, TapRequest
from gta.models.cls_only import features_cls, needs_all_tokens, pools_cls
from gta.models.cls_row import cls_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from timm.layers import Attention
    from timm.models.vision_transformer import VisionTransformer
    from torch.utils.hooks import RemovableHandle


OF_CLS = ("cls_logits", "cls_attention", "cls_rows")  # readings of the [cls] row
OF_QUERIES_AND_KEYS = (*OF_CLS, "queries_keys")


class Taps:
    """Take readings of a ViT while the context lasts.

    ::

        with Taps(model, request) as taps:
            logits = model(images)
            readings = taps.take()

    Gradients flow through the readings. With ``torch.compile``, hand over the model itself, not
    its compiled wrapper, open the taps before the wrapper first runs, and let no other model share
    the compiled code.
    """

    def __init__(self, model: VisionTransformer, request: TapRequest) -> None:
        """Check that ``model`` can be read; nothing is hooked before the context opens.

        Args:
            model: a timm ``VisionTransformer`` with a [cls] token.
            request: what to read.

        Raises:
            GtaError: the model is of another kind, checkpoints gradients, or lacks a block.
        """
        _check_readable(model)
        self._model: Any = model  # to a type checker, a module's parts are Tensor | Module
        self._request = request
        self._blocks = _blocks(request, len(model.blocks))
        self._read: dict[tuple[str, int], Any] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        hooks = self._handles
        blocks = self._model.blocks
        for i in sorted({i for kind in OF_QUERIES_AND_KEYS for i in self._blocks[kind]}):
            # timm calls q_norm, then k_norm, in every block; identities where there is no norm.
            attention = blocks[i].attn
            hooks.append(attention.q_norm.register_forward_hook(partial(self._on_queries, i)))
            on_keys = partial(self._on_keys, i, attention.scale)
            hooks.append(attention.k_norm.register_forward_hook(on_keys))
        for kind, modules in (
            ("msa_output", [block.attn for block in blocks]),
            ("block_output", blocks),
        ):
            for i in self._blocks[kind]:
                hooks.append(modules[i].register_forward_hook(partial(self._on_output, kind, i)))
        if self._request.features:
            hooks.append(self._model.head.register_forward_pre_hook(self._on_head))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def take(self) -> Readings:
        """Readings of the last forward pass, once.

        Raises:
            RuntimeError: no forward pass ran since the last call.
        """
        return self.take_each([self._request])[self._request]

    def take_each(self, requests: Iterable[TapRequest]) -> dict[TapRequest, Readings]:
        """As ``take``, divided among ``requests``, which must lie within the taps' own request."""
        read, self._read = self._read, {}
        try:
            return {request: self._readings(read, request) for request in requests}
        except KeyError:
            raise RuntimeError("taps: no forward pass ran since the last take()") from None

    def _readings(self, read: dict[tuple[str, int], Any], request: TapRequest) -> Readings:
        blocks = _blocks(request, len(self._model.blocks))
        kinds = {kind: [read[kind, i] for i in indices] for kind, indices in blocks.items()}
        return Readings(
            cls_logits=torch.stack(kinds["cls_logits"]) if kinds["cls_logits"] else None,
            cls_attention=torch.stack(kinds["cls_attention"]) if kinds["cls_attention"] else None,
            cls_rows=torch.stack(kinds["cls_rows"]) if kinds["cls_rows"] else None,
            queries_keys=tuple(kinds["queries_keys"]),
            msa_output=tuple(kinds["msa_output"]),
            block_output=tuple(kinds["block_output"]),
            features=read["features", -1] if request.features else None,
            prefix_tokens=self._model.num_prefix_tokens,
        )

    def forward_to_last(self, images: Tensor) -> None:
        """Forward pass of ``images`` (B, C, H, W) that ends at the last reading requested.

        A [cls] row of the last block is computed from the query of [cls] and the keys alone,
        whatever else is read there: the same bits with every request that ends in this block.
        """
        model = self._model
        if (
            self._request.features
            and pools_cls(model)
            and not needs_all_tokens(self._request, len(model.blocks))
        ):
            self._read["features", -1] = model.forward_head(
                features_cls(model, images), pre_logits=True
            )
            return
        # The steps of timm's forward_features, which has no way to end within a block.
        x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
        if self._request.features:
            x = model.norm(model.blocks(x))
            self._read["features", -1] = model.forward_head(x, pre_logits=True)
            return
        last = _last(self._blocks)
        x = model.blocks[:last](x)
        block = model.blocks[last]
        if last in self._blocks["block_output"]:
            block(x)
        elif last in self._blocks["msa_output"]:
            block.attn(block.norm1(x))
        if last in self._blocks["queries_keys"]:
            _query_and_keys(block.attn, block.norm1(x), queries=slice(None))
        elif any(last in self._blocks[kind] for kind in OF_CLS):
            _query_and_keys(block.attn, block.norm1(x))

    def _on_queries(self, block: int, _: nn.Module, __: Any, queries: Tensor) -> None:
        self._read["queries", block] = queries

    def _on_keys(self, block: int, scale: float, _: nn.Module, __: Any, keys: Tensor) -> None:
        queries = self._read.pop(("queries", block))
        if block in self._blocks["queries_keys"]:
            self._read["queries_keys", block] = queries, keys
        if not any(block in self._blocks[kind] for kind in OF_CLS):
            return
        row = cls_row(queries[:, :, :1], keys, scale)
        patches = slice(self._model.num_prefix_tokens, None)
        if block in self._blocks["cls_rows"]:
            self._read["cls_rows", block] = row
        if block in self._blocks["cls_logits"]:
            self._read["cls_logits", block] = row[..., patches]
        if block in self._blocks["cls_attention"]:
            self._read["cls_attention", block] = row.softmax(dim=-1)[..., patches]

    def _on_output(self, kind: str, block: int, _: nn.Module, __: Any, output: Tensor) -> None:
        self._read[kind, block] = output

    def _on_head(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self._read["features", -1] = inputs[0]


def read_source(model: VisionTransformer, images: Tensor, request: TapRequest) -> Readings:
    """Read a frozen source: evaluation mode, no gradients, nothing computed after the last tap.

    The readings are tensors without gradient, usable as constants in any loss.

    Args:
        model: the source, a timm ``VisionTransformer`` with a [cls] token.
        images: (B, C, H, W), normalised.
        request: what to read; at least one reading.

    Raises:
        GtaError: nothing is asked for, or as ``Taps``.
    """
    return read_source_each(model, images, [request])[request]


def read_source_each(
    model: VisionTransformer, images: Tensor, requests: Iterable[TapRequest]
) -> dict[TapRequest, Readings]:
    """As ``read_source`` for each request, bit for bit, in as few passes as that allows.

    Requests that end in the same block share a pass. Others cannot: the last block's [cls] row
    comes from a smaller matrix product than that of a block in between, or of one whose queries
    are all read, and may round otherwise.

    Raises:
        GtaError: as ``read_source``.
    """
    _check_readable(model)
    depth = len(model.blocks)
    passes: dict[tuple[int, bool, bool], list[TapRequest]] = {}
    for request in dict.fromkeys(requests):
        if request == TapRequest():
            raise GtaError("taps: no reading is requested; name at least one in the TapRequest")
        blocks = _blocks(request, depth)
        end = depth if request.features else _last(blocks)
        whole = request.features and needs_all_tokens(request, depth)
        passes.setdefault((end, end in blocks["queries_keys"], whole), []).append(request)
    readings: dict[TapRequest, Readings] = {}
    for together in passes.values():
        taps = Taps(model, reduce(or_, together))
        with taps, _evaluating(model), torch.no_grad():
            taps.forward_to_last(images)
        readings |= taps.take_each(together)
    return readings


def _query_and_keys(attention: Attention, x: Tensor, queries: slice = slice(1)) -> None:
    """Let the hooks see queries ([cls]'s alone by default) and all keys of ``x`` (B, T, D)."""
    query_weight, key_weight, _ = attention.qkv.weight.chunk(3)
    query_bias, key_bias, _ = (
        (None, None, None) if attention.qkv.bias is None else attention.qkv.bias.chunk(3)
    )

    def heads(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)

    attention.q_norm(heads(F.linear(x[:, queries], query_weight, query_bias)))
    attention.k_norm(heads(F.linear(x, key_weight, key_bias)))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()


def _blocks(request: TapRequest, depth: int) -> dict[str, tuple[int, ...]]:
    """Indices of the blocks that a request names, by the kind of reading."""
    return {
        "cls_logits": _indices(request.cls_logits, depth),
        "cls_attention": _indices(request.cls_attention, depth),
        "cls_rows": _indices(request.cls_rows, depth),
        "queries_keys": _indices(request.queries_keys, depth),
        "msa_output": _indices(request.msa_output, depth),
        "block_output": _indices(request.block_output, depth),
    }


def _last(blocks: dict[str, tuple[int, ...]]) -> int:
    return max(i for indices in blocks.values() for i in indices)


def _indices(blocks: Blocks, depth: int) -> tuple[int, ...]:
    """Ascending indices from 0, each once."""
    if isinstance(blocks, str):
        return tuple(range(depth))
    for block in blocks:
        if not -depth <= block < depth:
            raise GtaError(f"taps: no block {block} in a model of {depth} blocks (from 0, or -1)")
    return tuple(sorted({block % depth for block in blocks}))


def _check_readable(model: nn.Module) -> None:
    from timm.layers import Attention  # seconds to import; loaded already where a model exists
    from timm.models.vision_transformer import Block, VisionTransformer

    name = type(model).__name__
    if not isinstance(model, VisionTransformer) or not all(
        isinstance(block, Block) and isinstance(block.attn, Attention) for block in model.blocks
    ):
        raise GtaError(f"taps: {name} is not a timm VisionTransformer of plain pre-norm blocks")
    if not model.has_class_token:
        raise GtaError(f"taps: this {name} has no [cls] token")
    if model.grad_checkpointing:
        raise GtaError("taps: gradient checkpointing hides readings from autograd; turn it off")
