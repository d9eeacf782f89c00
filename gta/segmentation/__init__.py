"""Masks from [cls] attention, and how well they agree with the object masks."""

from gta.catalog import PROTOCOLS, Protocol
from gta.segmentation.agreement import (
    Objects,
    attention_mass,
    jaccard,
    kept_patches,
    matched_jaccard,
    objects_of,
    overlap,
    patch_coverage,
    patch_grid,
)
from gta.segmentation.models import (
    BATCH,
    SEGMENTATION,
    grid_of,
    measure,
    segment,
    square,
    write,
)
from gta.segmentation.views import View, view_of

__all__ = [
    "BATCH",
    "PROTOCOLS",
    "SEGMENTATION",
    "Objects",
    "Protocol",
    "View",
    "attention_mass",
    "grid_of",
    "jaccard",
    "kept_patches",
    "matched_jaccard",
    "measure",
    "objects_of",
    "overlap",
    "patch_coverage",
    "patch_grid",
    "segment",
    "square",
    "view_of",
    "write",
]
