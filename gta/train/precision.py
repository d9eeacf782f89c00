"""The arithmetic of a recipe: autocast, and TF32 on GPUs that have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gta.study import Recipe


@contextmanager
def arithmetic(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Compute in the recipe's precision while the block runs."""
    half = recipe.precision != "float32"
    dtype = getattr(torch, recipe.precision) if half else None
    with torch.autocast(device.type, dtype=dtype, enabled=half):
        yield
