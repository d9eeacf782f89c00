"""Taps: readings of a timm ViT during a forward pass, which they do not change.

Hooks take the queries and keys that each block computes anyway, so the model keeps its fused
attention and no (T x T) matrix is formed: the [cls] row alone is computed, from the query of
token 0 and the keys, or that of the mean query where there is no [cls] (``families.py``). Shapes:
B images, M blocks read, T tokens of which N are patches (the others are the prefix: [cls], then
registers), D the width.
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
from gta.methods.readings import Readings, TapRequest
from gta.models.cls_only import features_cls, needs_all_tokens, pools_cls
from gta.models.cls_row import rows_of_cls, rows_of_mean
from gta.models.families import (
    blocks_of,
    has_cls,
    indices_of,
    is_plain,
    is_windowed,
    prefix_tokens,
    require_readable,
    windows_of,
)
from gta.models.rotary import rotated
from gta.models.windows import (
    mean_query_attention,
    mean_query_rows,
    position_bias,
    queries_and_keys,
)

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
            model: a timm model of one of the ``families``.
            request: what to read.

        Raises:
            GtaError: the model is of another kind, checkpoints gradients, or lacks a block or the
                [cls] token that the request reads.
        """
        require_readable(model, request)
        self._model: Any = model  # to a type checker, a module's parts are Tensor | Module
        self._request = request
        self._parts = blocks_of(model)
        self._plain = is_plain(model)
        self._windows = windows_of(model) if is_windowed(model) else []
        self._has_cls, self._prefix = has_cls(model), prefix_tokens(model)
        self._blocks = _blocks(request, model)
        self._read: dict[tuple[str, int], Any] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        hooks = self._handles
        for i in sorted({i for kind in OF_QUERIES_AND_KEYS for i in self._blocks[kind]}):
            attention = self._parts[i].attn
            if not self._plain:
                on_input = partial(self._on_input, i)
                hooks.append(attention.register_forward_pre_hook(on_input, with_kwargs=True))
            if self._windows:
                on_qkv = partial(self._on_windows, i, attention)
                hooks.append(attention.qkv.register_forward_hook(on_qkv))
                continue
            # timm calls q_norm, then k_norm, in every block; identities where there is no norm.
            hooks.append(attention.q_norm.register_forward_hook(partial(self._on_queries, i)))
            on_keys = partial(self._on_keys, i, attention)
            hooks.append(attention.k_norm.register_forward_hook(on_keys))
        for kind, modules in (
            ("msa_output", [block.attn for block in self._parts]),
            ("block_output", self._parts),
        ):
            for i in self._blocks[kind]:
                hooks.append(modules[i].register_forward_hook(partial(self._on_output, kind, i)))
        if self._request.features:
            head = self._model.get_classifier()
            hooks.append(head.register_forward_pre_hook(self._on_head))
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
        blocks = _blocks(request, self._model)
        kinds = {kind: [read[kind, i] for i in indices] for kind, indices in blocks.items()}

        def of_cls(kind: str) -> Tensor | None:
            return torch.stack(kinds[kind]) if kinds[kind] and self._has_cls else None

        return Readings(
            cls_logits=of_cls("cls_logits"),
            cls_attention=of_cls("cls_attention"),
            cls_rows=of_cls("cls_rows"),
            pooled_logits=() if self._has_cls else tuple(kinds["cls_logits"]),
            pooled_attention=() if self._has_cls else tuple(kinds["cls_attention"]),
            queries_keys=tuple(kinds["queries_keys"]),
            msa_output=tuple(kinds["msa_output"]),
            block_output=tuple(kinds["block_output"]),
            features=read["features", -1] if request.features else None,
            prefix_tokens=self._prefix,
        )

    def forward_to_last(self, images: Tensor) -> None:
        """Forward pass of ``images`` (B, C, H, W) that ends at the last reading requested.

        A [cls] row of the last block is computed from the query of [cls] and the keys alone,
        whatever else is read there: the same bits with every request that ends in this block.
        """
        model = self._model
        if not self._plain:
            self._forward_until_read(images)
            return
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
            queries = slice(1) if self._has_cls else slice(None)
            _query_and_keys(block.attn, block.norm1(x), queries)

    def _forward_until_read(self, images: Tensor) -> None:
        """Forward pass of any family that is broken off when the last reading is there."""
        model = self._model
        if self._request.features:
            features = model.forward_head(model.forward_features(images), pre_logits=True)
            self._read["features", -1] = features
            return
        last = _last(self._blocks)
        block = self._parts[last]
        if last in self._blocks["block_output"]:
            end = block
        elif last in self._blocks["msa_output"]:
            end = block.attn
        else:
            end = block.attn.qkv if self._windows else block.attn.k_norm
        handle = end.register_forward_hook(_break_off)  # after the hooks of the taps
        try:
            model.forward_features(images)
        except _AllReadError:
            pass
        finally:
            handle.remove()

    def _on_input(self, block: int, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Inputs of attention besides tokens: a rotation, or a mask and shared queries."""
        more = args[1] if len(args) > 1 else None
        self._read["input", block] = {"second": more, **kwargs}

    def _on_queries(self, block: int, _: nn.Module, __: Any, queries: Tensor) -> None:
        self._read["queries", block] = queries

    def _on_keys(self, block: int, attention: Any, _: nn.Module, __: Any, keys: Tensor) -> None:
        queries = self._read.pop(("queries", block))
        rope = self._read.pop(("input", block), {}).get("rope")
        of_cls = any(block in self._blocks[kind] for kind in OF_CLS)
        all_queries = block in self._blocks["queries_keys"] or not self._has_cls
        if rope is not None:
            keys = rotated(attention, keys, rope)
            queries = rotated(attention, queries, rope) if all_queries else queries
        if block in self._blocks["queries_keys"]:
            self._read["queries_keys", block] = queries, keys
        if of_cls:
            rows = rows_of_cls if self._has_cls else rows_of_mean
            kinds = [kind for kind in OF_CLS if block in self._blocks[kind]]
            for kind, row in rows(queries, keys, attention.scale, self._prefix, kinds).items():
                self._read[kind, block] = row

    def _on_windows(self, block: int, attention: Any, _: nn.Module, __: Any, qkv: Tensor) -> None:
        given = self._read.pop(("input", block))
        mask, windows = given.get("mask"), self._windows[block]
        queries, keys = queries_and_keys(attention, qkv, given["second"])
        inputs = queries, keys, float(attention.scale), position_bias(attention), mask
        if block in self._blocks["cls_logits"]:
            rows = mean_query_rows(*inputs)
            self._read["cls_logits", block] = windows.rows_to_image(rows)
        if block in self._blocks["cls_attention"]:
            shares = mean_query_attention(*inputs, windows.count)
            self._read["cls_attention", block] = windows.rows_to_image(shares)

    def _on_output(self, kind: str, block: int, _: nn.Module, __: Any, output: Tensor) -> None:
        if self._windows:
            whole = kind == "block_output"
            output = output.flatten(1, 2) if whole else self._windows[block].to_image(output)
        self._read[kind, block] = output

    def _on_head(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self._read["features", -1] = inputs[0]


class _AllReadError(Exception):
    """Breaks a forward pass off."""


def _break_off(*_: object) -> None:
    raise _AllReadError


def read_source(model: VisionTransformer, images: Tensor, request: TapRequest) -> Readings:
    """Read a frozen source: evaluation mode, no gradients, nothing computed after the last tap.

    The readings are tensors without gradient, usable as constants in any loss.

    Args:
        model: the source, a timm model of one of the ``families``.
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
    depth = len(blocks_of(model))
    passes: dict[tuple[int, bool, bool], list[TapRequest]] = {}
    for request in dict.fromkeys(requests):
        if request == TapRequest():
            raise GtaError("taps: no reading is requested; name at least one in the TapRequest")
        require_readable(model, request)
        blocks = _blocks(request, model)
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


def _blocks(request: TapRequest, model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Indices of the blocks that a request names, by the kind of reading."""
    kinds = (*OF_QUERIES_AND_KEYS, "msa_output", "block_output")
    try:
        return {kind: indices_of(getattr(request, kind), model) for kind in kinds}
    except ValueError as error:
        raise GtaError(f"taps: {error}") from None


def _last(blocks: dict[str, tuple[int, ...]]) -> int:
    return max(i for indices in blocks.values() for i in indices)
