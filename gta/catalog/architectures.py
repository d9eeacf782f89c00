"""The vision transformers: those of the catalog, and timm's by their names."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Modules of timm whose registered models taps can read: plain ViTs, rotary ones (EVA, DINOv3), and
# those of windows.
TIMM_MODULES = ("vision_transformer", "deit", "eva", "swin_transformer", "gcvit")
# In these modules, but not to be read: two [cls] tokens; keys that heads share.
OTHER = ("distilled", "sapiens2")


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
        # small ones of the other families, for trials and tests
        "vit_mini_pooled_patch8": ArchitectureInfo(
            None,
            MappingProxyType(
                {
                    **{"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2},
                    **{"class_token": False, "global_pool": "avg"},
                }
            ),
        ),
        "vit_mini_dinov3_patch8": ArchitectureInfo(
            "vit_small_patch16_dinov3",
            MappingProxyType(
                {
                    **{"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2},
                    **{"global_pool": "token"},
                }
            ),
        ),
        "swin_mini_patch4": ArchitectureInfo(
            "swin_tiny_patch4_window7_224",
            MappingProxyType(
                {
                    **{"embed_dim": 32, "depths": (2, 2), "num_heads": (2, 4)},
                    **{"window_size": 6, "img_size": 48},
                }
            ),
        ),
        "gcvit_mini": ArchitectureInfo(
            "gcvit_xxtiny",
            MappingProxyType({"embed_dim": 16, "window_ratio": (8, 8, 16, 32), "img_size": 32}),
        ),
        "vit_small_patch16_224": ArchitectureInfo("vit_small_patch16_224"),
        # MoCo v3's and SDSSL's ViT-S: timm's but for 12 heads of 32 in place of 6 of 64
        "vit_small_moco_patch16_224": ArchitectureInfo(
            "vit_small_patch16_224", MappingProxyType({"num_heads": 12})
        ),
        # SDSSL's ViT-Ti: 6 heads of 32 in place of 3 of 64
        "vit_tiny_sdssl_patch16_224": ArchitectureInfo(
            "vit_tiny_patch16_224", MappingProxyType({"num_heads": 6})
        ),
        # as MAE, MFM and SemMAE fine-tune: the mean of the patches, and a norm behind it
        "vit_base_pooled_patch16_224": ArchitectureInfo(
            "vit_base_patch16_224", MappingProxyType({"global_pool": "avg"})
        ),
        "vit_small_patch14_dinov2": ArchitectureInfo("vit_small_patch14_dinov2"),
        # its head reads [cls] as its authors' does; timm's pools patches unless told
        "vit_small_patch16_dinov3": ArchitectureInfo(
            "vit_small_patch16_dinov3", MappingProxyType({"global_pool": "token"})
        ),
    }
)


def find_architecture(name: str) -> ArchitectureInfo | None:
    """An architecture of the catalog, or a model of timm by its name; None if neither has it."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    return ArchitectureInfo(name) if name in timm_names() else None


@cache
def timm_names() -> frozenset[str]:
    """Names of timm's models that taps read, from its source files: importing it takes seconds."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return frozenset()
    folder = Path(found.origin).parent / "models"
    names: set[str] = set()
    for module in TIMM_MODULES:
        text = (folder / f"{module}.py").read_text(encoding="utf-8")
        names.update(re.findall(r"^@register_model\ndef (\w+)\(", text, flags=re.MULTILINE))
    return frozenset(name for name in names if not any(part in name for part in OTHER))
