"""Self-attention with a learned prior on the offset of two patches (imports torch)."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from gta.methods.base import full_precision

INIT_STD = 0.02  # of the first layer's weights, a truncated normal


class SpatialPrior(nn.Module):
    """P_h(i, j) = w2_h . ReLU(W1_h r_ij + b1_h) + b2_h for every pair of patches i, j.

    r_ij = (x_j - x_i, y_j - y_i), in patches, x to the right, y down. Starts at P = 1. SP-ViT
    (Zhou et al., arXiv 2206.07662), ``tlt/models/layers.py`` of ZhouYuxuanYX/SP-ViT.
    """

    offsets: Tensor

    def __init__(
        self, width: int, heads: int, grid: tuple[int, int], generator: torch.Generator | None
    ) -> None:
        """Build the prior at its start.

        Args:
            width: hidden units of all heads together.
            heads: a divisor of ``width``.
            grid: rows and columns of patches.
            generator: of the first layer's weights; None for those that are loaded afterwards.
        """
        super().__init__()
        self.grid = rows, columns = grid
        self.w1 = nn.Linear(2, width)
        nn.init.trunc_normal_(self.w1.weight, std=INIT_STD, generator=generator)
        nn.init.zeros_(self.w1.bias)
        self.w2 = nn.Parameter(torch.zeros(heads, width // heads))
        self.b2 = nn.Parameter(torch.ones(heads))
        y, x = torch.meshgrid(
            torch.arange(1.0 - rows, rows), torch.arange(1.0 - columns, columns), indexing="ij"
        )
        # Each offset once: (2 rows - 1) (2 columns - 1) of them serve (rows columns)^2 pairs.
        self.register_buffer("offsets", torch.stack([x, y], -1), persistent=False)

    def forward(self) -> Tensor:
        """(heads, N, N), query by key, at least float32."""
        rows, columns = self.grid
        with torch.autocast(self.w2.device.type, enabled=False):
            hidden = self.w1(self.offsets.to(self.w1.weight.dtype)).relu()
            table = torch.einsum("yxhd,hd->hyx", hidden.unflatten(-1, self.w2.shape), self.w2)
            table = full_precision(table + self.b2[:, None, None])
            # Window s begins with offset s + 1 - rows: it is the query's in row rows - 1 - s.
            pairs = table.unfold(1, rows, 1).unfold(2, columns, 1).flip(1, 2)
        return pairs.flatten(3).flatten(1, 2)


class PriorAttention(Attention):
    """timm's attention whose patch-patch logits are multiplied by a ``SpatialPrior``.

    Logits of the prefix tokens ([cls], registers), as query and as key, stay as they are. The
    product needs the logits themselves, so the fused kernels, whose masks are added, do not serve.
    """

    prior: SpatialPrior

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attention output (B, T, D) of tokens (B, T, D); masks are not supported."""
        assert attn_mask is None
        assert not is_causal
        tokens: Any = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = tokens.unbind(0)
        query, key = self.q_norm(query), self.k_norm(key)
        logits = (query * self.scale) @ key.transpose(-2, -1)
        patches = self.prior()
        prefix = x.shape[1] - patches.shape[-1]
        logits = logits * F.pad(patches, (prefix, 0, prefix, 0), value=1.0)
        weights = self.attn_drop(logits.softmax(dim=-1))
        mixed = self.norm((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(mixed))


def add_prior(model: nn.Module, block: int, generator: torch.Generator | None = None) -> None:
    """Add a prior at its start to a block of a timm ViT; the block keeps its weights.

    Args:
        model: the ViT.
        block: index from 0.
        generator: as in ``SpatialPrior``.
    """
    vit: Any = model
    attention = vit.blocks[block].attn
    attention.__class__ = PriorAttention  # as torch's parametrizations: the same weights and names
    attention.prior = SpatialPrior(
        attention.attn_dim, attention.num_heads, vit.patch_embed.grid_size, generator
    )
