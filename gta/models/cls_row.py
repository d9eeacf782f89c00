"""One row of attention logits, of [cls] or of the mean query, in at least float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gta.methods.base import full_precision


def cls_row(query: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Scaled logits of one query, in at least float32.

    In half precision the difference of two rows would be lost in their rounding.

    Args:
        query: (B, heads, 1, d).
        keys: (B, heads, T, d).
        scale: of the logits, 1 / sqrt(d).

    Returns:
        (B, heads, T).
    """
    if query.dtype.itemsize < 4:
        row: Tensor = _HalfRow.apply(query, keys, scale)
        return row
    with torch.autocast(query.device.type, enabled=False):
        return ((query * scale) @ keys.transpose(-2, -1)).squeeze(-2)


def mean_query_row(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """The mean over queries of their scaled logits: (mean q) k^T, in time linear in tokens.

    Where a head pools patches by their mean, each query has the same part in its features; for
    one query this is ``cls_row``.

    Args:
        queries: (B, heads, T, d).
        keys: (B, heads, N, d).
        scale: of the logits, 1 / sqrt(d).

    Returns:
        (B, heads, N) in at least float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        mean = full_precision(queries).mean(-2, keepdim=True)
        return ((mean * scale) @ full_precision(keys).transpose(-2, -1)).squeeze(-2)


def mean_query_share(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """The mean over queries of their attention after the softmax; shapes as ``mean_query_row``."""
    with torch.autocast(queries.device.type, enabled=False):
        logits = (full_precision(queries) * scale) @ full_precision(keys).transpose(-2, -1)
        return logits.softmax(-1).mean(-2)


def rows_of_cls(
    queries: Tensor, keys: Tensor, scale: float, prefix: int, kinds: Sequence[str]
) -> dict[str, Tensor]:
    """Readings of the [cls] row by their names in ``TapRequest``.

    Args:
        queries: (B, heads, 1 or T, d), [cls]'s the first.
        keys: (B, heads, T, d).
        scale: of the logits, 1 / sqrt(d).
        prefix: tokens before the patches.
        kinds: which of ``cls_rows``, ``cls_logits`` and ``cls_attention``.
    """
    row = cls_row(queries[:, :, :1], keys, scale)
    found = {"cls_rows": row, "cls_logits": row[..., prefix:]}
    if "cls_attention" in kinds:
        found["cls_attention"] = row.softmax(dim=-1)[..., prefix:]
    return {kind: found[kind] for kind in kinds}


def rows_of_mean(
    queries: Tensor, keys: Tensor, scale: float, prefix: int, kinds: Sequence[str]
) -> dict[str, Tensor]:
    """As ``rows_of_cls`` of the patches' mean query, in a model without [cls]; no ``cls_rows``."""
    queries = queries[:, :, prefix:]
    found = {}
    if "cls_logits" in kinds:
        found["cls_logits"] = mean_query_row(queries, keys[:, :, prefix:], scale)
    if "cls_attention" in kinds:
        found["cls_attention"] = mean_query_share(queries, keys, scale)[..., prefix:]
    return found


class _HalfRow(torch.autograd.Function):
    """The row of half-precision keys, without keeping float32 keys for the gradient."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(query, keys)
        ctx.scale = scale
        with torch.autocast(query.device.type, enabled=False):
            row = (query.float() * scale) @ keys.float().transpose(-2, -1)
        return row.squeeze(-2)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        query, keys = ctx.saved_tensors
        gradient = outputs[0].unsqueeze(-2)  # (B, heads, 1, T)
        with torch.autocast(query.device.type, enabled=False):
            of_query = (gradient @ keys.float()) * ctx.scale
            of_keys = gradient.transpose(-2, -1) * (query.float() * ctx.scale)
        return of_query.to(query.dtype), of_keys.to(keys.dtype), None
