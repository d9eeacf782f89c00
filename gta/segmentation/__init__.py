"""Masks from [cls] attention, and how well they agree with the object masks."""

from gta.segmentation.agreement import (
    PROTOCOLS,
    Protocol,
    attention_mass,
    foreground,
    jaccard,
    kept_patches,
    matched_jaccard,
    patch_coverage,
    patch_grid,
)
from gta.segmentation.models import (
    BATCH,
    SEGMENTATION,
    measure,
    segment,
    write,
)

__all__ = [
    "BATCH",
    "PROTOCOLS",
    "SEGMENTATION",
    "Protocol",
    "attention_mass",
    "foreground",
    "jaccard",
    "kept_patches",
    "matched_jaccard",
    "measure",
    "patch_coverage",
    "patch_grid",
    "segment",
    "write",
]
