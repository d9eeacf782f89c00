"""A model as ONNX: images to logits and to the [cls] attention map of the last block."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from gta import files
from gta.errors import GtaError
from gta.models.families import has_cls, is_plain

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class WithAttention(nn.Module):
    """A ViT that also gives the share of its last block's [cls] attention for each patch."""

    def __init__(self, model: VisionTransformer) -> None:
        """Wrap a model; its weights are shared."""
        super().__init__()
        self.model = model
        self.grid = model.patch_embed.grid_size

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and maps (B, rows, columns), the maximum over heads.

        Args:
            images: (B, 3, S, S), normalised.
        """
        model = cast(Any, self.model)  # to a type checker, a module's parts are Tensor | Module
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
        last = model.blocks[-1]
        attention = self._attention(last.attn, last.norm1(tokens))
        features = model.norm(last(tokens))
        patches = attention[:, model.num_prefix_tokens :]
        return model.forward_head(features), patches.unflatten(1, self.grid)

    @staticmethod
    def _attention(attention: Any, tokens: Tensor) -> Tensor:
        """The softmax of [cls] over all tokens, (B, T), the maximum over heads."""
        size, length, _ = tokens.shape
        heads = attention.num_heads
        queries, keys, _ = (
            attention.qkv(tokens)
            .reshape(size, length, 3, heads, -1)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        query, keys = attention.q_norm(queries[:, :, :1]), attention.k_norm(keys)
        logits = (query * attention.scale) @ keys.transpose(-2, -1)
        return logits.softmax(dim=-1)[:, :, 0].amax(dim=1)


def write_onnx(model: VisionTransformer, path: Path) -> Path:
    """Write ``model.onnx``: input ``images`` (B, 3, S, S), outputs ``logits`` and ``attention``.

    Raises:
        GtaError: if a package that this needs is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise GtaError(f"{error.name} is not installed", remedy="pip install 'gta[onnx]'") from None
    if not is_plain(model) or not has_cls(model):
        raise GtaError(
            f"ONNX: {type(model).__name__} is not a plain ViT with [cls], whose map is written",
            remedy="leave out --onnx",
        )
    wrapped = WithAttention(model).eval()
    height, width = model.patch_embed.img_size
    images = torch.zeros(2, 3, height, width)
    with files.atomic_write(path) as hidden, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own future
        torch.onnx.export(
            wrapped,
            (images,),
            str(hidden),
            input_names=["images"],
            output_names=["logits", "attention"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path
