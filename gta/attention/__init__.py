"""Maps of [cls] attention, masks from them, and how well these agree with the object masks.

The package is callable: ``gta.attention(model, image)`` is ``gta.attention.image.attention``.
"""

import sys
from types import ModuleType

from gta.attention import image
from gta.attention.masks import (
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
from gta.attention.measure import (
    BATCH,
    SEGMENTATION,
    grid_of,
    measure_masks,
    segment,
    square,
    write,
)
from gta.attention.views import View, view_of
from gta.catalog import PROTOCOLS, Protocol

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
    "measure_masks",
    "objects_of",
    "overlap",
    "patch_coverage",
    "patch_grid",
    "segment",
    "square",
    "view_of",
    "write",
]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(image.attention)


sys.modules[__name__].__class__ = _CallablePackage
