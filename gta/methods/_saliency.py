"""Saliency of image patches, and attention that favours the salient ones (imports torch)."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from gta.methods.base import full_precision

SIDE = 64  # pixels at which the spectral residual is computed
BLUR, SIGMA = 5, 8.0  # OpenCV's: taps and standard deviation, in pixels of SIDE


def spectral_residual(images: Tensor) -> Tensor:
    """Saliency by the spectral residual: what stands out of an image's average spectrum.

    Hou and Zhang, Saliency Detection: A Spectral Residual Approach, CVPR 2007. It finds what pops
    out of its surroundings, not objects.

    Args:
        images: (B, C, H, W); grey is the mean of the channels.

    Returns:
        (B, 64, 64), float32, from 0 to 1; zero where an image is constant.
    """
    with torch.autocast(images.device.type, enabled=False):
        grey = full_precision(images).float().mean(1, keepdim=True)
        grey = F.interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True)
        spectrum = torch.fft.fft2(grey)
        logarithm = spectrum.abs().clamp_min(1e-12).log()
        padded = F.pad(logarithm, (1, 1, 1, 1), mode="circular")
        residual = logarithm - F.avg_pool2d(padded, 3, 1)
        energy = torch.fft.ifft2(torch.polar(residual.exp(), spectrum.angle())).abs().square()
        away = torch.arange(BLUR, device=images.device) - BLUR // 2
        taps = (-away.square() / (2 * SIGMA**2)).softmax(0)
        border = BLUR // 2
        energy = F.pad(energy, (border, border, border, border), mode="reflect")
        energy = F.conv2d(energy, taps.outer(taps)[None, None])[:, 0]
        least, most = (edge(energy, (-2, -1), keepdim=True) for edge in (torch.amin, torch.amax))
        constant = grey.flatten(1).std(1)[:, None, None] < 1e-6
        return torch.where(constant, 0.0, (energy - least) / (most - least).clamp_min(1e-12))


def patch_saliency(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """``spectral_residual`` averaged over patches: (B, N), N patches of ``grid``, row by row."""
    return F.adaptive_avg_pool2d(spectral_residual(images), grid).flatten(1)


def boost(logits: Tensor, salient: Tensor, share: Tensor | float) -> Tensor:
    """Attention logits with ``share`` of each row's maximum added at salient keys.

    The maximum is taken over all keys; a negative one lowers the salient ones, as in SM-ViT
    (demidovd98/sm-vit, ``models/modeling.py``).

    Args:
        logits: (..., T).
        salient: of a shape that broadcasts to it, boolean.
        share: of the maximum.
    """
    return logits + torch.where(salient, share * logits.amax(-1, keepdim=True), 0.0)


class Salience(nn.Module):
    """The salient tokens of the images that a model sees, found as they enter it."""

    def __init__(self, grid: tuple[int, int], prefix: int) -> None:
        """Look at nothing yet; ``watch`` is a forward pre-hook of the patch embedding.

        Args:
            grid: rows and columns of patches.
            prefix: tokens before the patches.
        """
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.salient: Tensor | None = None

    @torch.no_grad()
    def watch(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Find the patches more salient than their image's mean; [cls] counts as salient."""
        saliency = patch_saliency(inputs[0], self.grid)
        above = saliency > saliency.mean(1, keepdim=True)
        self.salient = F.pad(F.pad(above, (self.prefix - 1, 0)), (1, 0), value=True)


class SalientAttention(Attention):
    """timm's attention whose [cls] row favours salient tokens; other rows keep fused attention."""

    salience: Salience
    salient_share: Tensor

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attention output (B, T, D) of tokens (B, T, D); masks are not supported."""
        assert attn_mask is None
        assert not is_causal
        tokens: Any = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = tokens.unbind(0)
        query, key = self.q_norm(query), self.k_norm(key)
        dropout = self.attn_drop.p if self.training else 0.0
        rest = F.scaled_dot_product_attention(query[:, :, 1:], key, value, dropout_p=dropout)
        salient = self.salience.salient
        assert salient is not None
        logits = (query[:, :, :1] * self.scale) @ key.transpose(-2, -1)
        weights = boost(logits, salient[:, None, None], self.salient_share).softmax(dim=-1)
        cls = self.attn_drop(weights.to(value.dtype)) @ value
        mixed = self.norm(torch.cat([cls, rest], 2).transpose(1, 2).flatten(2))
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        out: Tensor = self.proj_drop(self.proj(mixed))
        return out


def favour_salient(model: nn.Module, share: float) -> None:
    """Let every block of a timm ViT favour salient patches; the blocks keep their weights.

    Args:
        model: the ViT.
        share: of the largest logit that is added.
    """
    vit: Any = model
    salience = Salience(vit.patch_embed.grid_size, vit.num_prefix_tokens)
    vit.patch_embed.register_forward_pre_hook(salience.watch)
    for block in vit.blocks:
        block.attn.__class__ = SalientAttention  # the same weights under the same names
        block.attn.salience = salience
        block.attn.register_buffer("salient_share", torch.tensor(share))
