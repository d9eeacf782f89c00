"""The arithmetic of a recipe: autocast, and TF32 on GPUs that have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gta.study import Recipe


@contextmanager
def arithmetic(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Compute a forward pass in the recipe's precision while the block runs."""
    half = recipe.precision != "float32"
    dtype = getattr(torch, recipe.precision) if half else None
    with float32_products(recipe), torch.autocast(device.type, dtype=dtype, enabled=half):
        yield


@contextmanager
def float32_products(recipe: Recipe) -> Iterator[None]:
    """Let float32 products on a GPU round to TF32 or not, as the recipe says.

    A backward pass needs it as well as the forward pass. torch's own default differs between
    products and convolutions.
    """
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cuda.allow_tf32, cudnn.allow_tf32
    cuda.allow_tf32 = cudnn.allow_tf32 = recipe.tf32
    try:
        yield
    finally:
        cuda.allow_tf32, cudnn.allow_tf32 = before
