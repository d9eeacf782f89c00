"""A ViT's forward pass whose last block computes [cls] alone.

A head that pools [cls] reads nothing else of the last block's output, so queries, attention,
projection and MLP of all other tokens there are dead work: with three blocks a quarter of a
training step, with twelve a twelfth. Only keys and values need all tokens. Values and gradients
are those of the plain pass but for the rounding of smaller matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Forward = Callable[[Tensor], Tensor]
NOTHING = TapRequest()


def forward_of(model: VisionTransformer, request: TapRequest = NOTHING) -> Forward:
    """The cheapest forward pass, images (B, C, H, W) to logits (B, K), that shows the readings.

    Args:
        model: a timm ViT.
        request: readings that taps on the model will take.
    """
    if not pools_cls(model) or needs_all_tokens(request, len(model.blocks)):
        return model
    return partial(forward_cls, model)


def forward_cls(model: VisionTransformer, images: Tensor) -> Tensor:
    """Logits (B, K) of images (B, C, H, W), the last block for [cls] alone."""
    return model.forward_head(features_cls(model, images))


def features_cls(model: VisionTransformer, images: Tensor) -> Tensor:
    """The normalised [cls] token (B, 1, D) of the last block."""
    # The steps of timm's forward_features, which has no way to end with one token.
    x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
    *blocks, last = model.blocks
    for block in blocks:
        x = block(x)
    return model.norm(_last_block(last, x))


def _last_block(block: Any, x: Tensor) -> Tensor:
    """The [cls] token (B, 1, D) that a block makes of tokens (B, T, D)."""
    cls = x[:, :1]
    cls = cls + block.drop_path1(block.ls1(_attend(block.attn, block.norm1(x))))
    return cls + block.drop_path2(block.ls2(block.mlp(block.norm2(cls))))


def _attend(attention: Any, x: Tensor) -> Tensor:
    """Attention of [cls] to tokens (B, T, D): (B, 1, D). Queries and keys pass their norms."""
    query, key, value = cls_query_and_rest(attention, x)
    query, key = attention.q_norm(query), attention.k_norm(key)
    if attention.fused_attn:
        mixed = F.scaled_dot_product_attention(query, key, value)
    else:
        mixed = ((query * attention.scale) @ key.transpose(-2, -1)).softmax(dim=-1) @ value
    mixed = mixed.transpose(1, 2).flatten(2)
    mixed = attention.norm(mixed) if hasattr(attention, "norm") else mixed
    if getattr(attention, "gate", None) is not None:
        mixed = mixed * attention.gate(x[:, :1]).sigmoid()
    return attention.proj_drop(attention.proj(mixed))


def cls_query_and_rest(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query of [cls] (B, heads, 1, d), keys and values of all tokens (B, heads, T, d)."""
    weight, bias = attention.qkv.weight, attention.qkv.bias
    width = weight.shape[0] // 3
    first, rest = (None, None) if bias is None else (bias[:width], bias[width:])

    def heads(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)

    query = F.linear(x[:, :1], weight[:width], first)
    key, value = F.linear(x, weight[width:], rest).chunk(2, dim=-1)
    return heads(query), heads(key), heads(value)


def needs_all_tokens(request: TapRequest, depth: int) -> bool:
    """Whether a reading shows other tokens of the last block's output."""
    return any(
        isinstance(blocks, str) or -1 in blocks or depth - 1 in blocks
        for blocks in (request.queries_keys, request.msa_output, request.block_output)
    )


def pools_cls(model: nn.Module) -> bool:
    """Whether the model is a plain timm ViT whose head reads [cls] alone."""
    from timm.layers import Attention  # seconds to import; loaded already where a model exists
    from timm.models.vision_transformer import Block, VisionTransformer

    if type(model) is not VisionTransformer or not model.has_class_token:
        return False
    last = model.blocks[-1]
    drops = [part for part in last.modules() if isinstance(part, nn.Dropout) and part.p > 0]
    return (
        model.global_pool == "token"
        and model.attn_pool is None
        and not model.grad_checkpointing
        and type(last) is Block
        and type(last.attn) is Attention
        and not drops
    )
