"""The [cls] row of attention logits, in float32 whatever the model's precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
