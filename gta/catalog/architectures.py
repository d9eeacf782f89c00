"""The vision transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class ArchitectureInfo:
    """A vision transformer as timm builds it.

    Attributes:
        timm_name: registered model name, or None for a bare ``VisionTransformer``.
        kwargs: keyword arguments for timm.
    """

    timm_name: str | None
    kwargs: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))


ARCHITECTURES: MappingProxyType[str, ArchitectureInfo] = MappingProxyType(
    {
        "vit_mini_patch8": ArchitectureInfo(
            None,
            MappingProxyType({"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2}),
        ),
        # the patches of the paper's models, for trials of its study
        "vit_mini_patch16": ArchitectureInfo(
            None,
            MappingProxyType({"patch_size": 16, "embed_dim": 64, "depth": 3, "num_heads": 2}),
        ),
        "vit_small_patch16_224": ArchitectureInfo("vit_small_patch16_224"),
        "vit_small_patch14_dinov2": ArchitectureInfo("vit_small_patch14_dinov2"),
    }
)
