"""Attention within windows, as Swin and GC ViT compute it, told by one row for each head.

Shapes: B images, W windows of an image, t places of a window, N = W t places of an image, d the
width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gta.methods.base import full_precision


@dataclass(frozen=True)
class Windows:
    """Arrangement of a grid's places in windows.

    Attributes:
        grid: rows and columns of the image's places.
        size: rows and columns of a window.
        shift: places by which the image is rolled up and left before it is cut.
    """

    grid: tuple[int, int]
    size: tuple[int, int]
    shift: tuple[int, int]

    @property
    def count(self) -> int:
        """Windows of an image, W."""
        return (self.grid[0] // self.size[0]) * (self.grid[1] // self.size[1])

    @property
    def fills(self) -> bool:
        """Whether whole windows fill the grid."""
        return self.grid[0] % self.size[0] == 0 and self.grid[1] % self.size[1] == 0

    def to_image(self, x: Tensor) -> Tensor:
        """Bring (B W, t, C) to the image's order, (B, N, C): the roll is undone."""
        (rows, columns), (high, wide) = self.grid, self.size
        cut = x.reshape(-1, rows // high, columns // wide, high, wide, x.shape[-1])
        image = cut.transpose(2, 3).reshape(-1, rows, columns, x.shape[-1])
        if any(self.shift):
            image = image.roll(self.shift, dims=(1, 2))
        return image.flatten(1, 2)

    def rows_to_image(self, rows: Tensor) -> Tensor:
        """Bring rows (B W, heads, t) to the image's order, (B, heads, N)."""
        return self.to_image(rows.transpose(1, 2)).transpose(1, 2)


def queries_and_keys(
    attention: Any, projected: Tensor, shared_query: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Queries and keys (B W, heads, t, d) of a windowed attention module.

    Args:
        attention: timm's ``WindowAttention`` or ``WindowAttentionGlobal``.
        projected: output of its ``qkv``, (B W, t, 3 heads d); without queries (2 heads d) where
            GC ViT takes the same for all windows of an image.
        shared_query: these, (B, rows, columns, heads d); None in other modules.
    """
    heads = int(attention.num_heads)
    if not getattr(attention, "use_global", False) or shared_query is None:
        queries, keys, _ = projected.chunk(3, dim=-1)
    else:
        keys, _ = projected.chunk(2, dim=-1)
        windows = len(projected) // len(shared_query)
        queries = shared_query.flatten(1, 2).repeat_interleave(windows, dim=0)
    return (
        queries.unflatten(-1, (heads, -1)).transpose(1, 2),
        keys.unflatten(-1, (heads, -1)).transpose(1, 2),
    )


def position_bias(attention: Any) -> Tensor:
    """The relative position bias of a windowed attention module, (heads, t, t)."""
    if hasattr(attention, "rel_pos"):
        bias: Tensor = attention.rel_pos.get_bias()
    else:
        bias = attention._get_rel_pos_bias()
    return bias.squeeze(0)


def mean_query_rows(
    queries: Tensor, keys: Tensor, scale: float, bias: Tensor, mask: Tensor | None
) -> Tensor:
    """The mean over a window's queries of its attention logits, before the softmax.

    As the mean of q k^T is (mean q) k^T, no matrix of logits is formed. Where a mask parts a
    window, each key's mean is over the queries that may attend to it.

    Args:
        queries: (B W, heads, t, d).
        keys: likewise.
        scale: of the logits, 1 / sqrt(d).
        bias: (heads, t, t), added to the logits.
        mask: (W, t, t), below 0 where a query may not attend to a key; None for none.

    Returns:
        (B W, heads, t) in at least float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, bias = map(full_precision, (queries, keys, bias))
        if mask is None:
            rows = ((queries.mean(-2, keepdim=True) * scale) * keys).sum(-1)
            return rows + bias.mean(-2)
        allowed = (mask == 0).to(queries.dtype)
        shares = allowed / allowed.sum(1, keepdim=True)  # of query i in the mean of key j
        windows = queries.unflatten(0, (-1, len(mask)))
        means = torch.einsum("wij,bwhid->bwhjd", shares, windows).flatten(0, 1)
        biases = torch.einsum("wij,hij->whj", shares, bias)
        rows = ((means * scale) * keys).sum(-1).unflatten(0, (-1, len(mask)))
        return (rows + biases).flatten(0, 1)


def mean_query_attention(
    queries: Tensor, keys: Tensor, scale: float, bias: Tensor, mask: Tensor | None, windows: int
) -> Tensor:
    """The mean over an image's queries of their attention, after the softmax.

    Args:
        queries: as ``mean_query_rows``.
        keys: likewise.
        scale: likewise.
        bias: likewise.
        mask: likewise.
        windows: W; the rows of an image sum to 1 over all of its windows.

    Returns:
        (B W, heads, t).
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, bias = map(full_precision, (queries, keys, bias))
        logits = (queries * scale) @ keys.transpose(-2, -1) + bias
        if mask is not None:
            logits = (logits.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return logits.softmax(-1).mean(-2) / windows
