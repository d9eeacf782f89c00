"""Selection of runs that see the same batches and can train together."""

from __future__ import annotations

from typing import Any

from gta.study.recipe import Recipe
from gta.study.run import Run


def batch_key(run: Run, recipe: Recipe) -> tuple[Any, ...]:
    """Fields that must match for two runs to see the same training batches and test images.

    Method, mix, lambda and source are not among them: a batch follows from the dataset, the rate,
    the seed and the recipe's views alone.
    """
    views = recipe.augment, recipe.evaluation, recipe.image_size, recipe.mean, recipe.std
    batches = recipe.batch_size, recipe.repeated_augmentation
    return run.dataset, run.rate, run.seed, batches, views, recipe.backdoor


def source_key(run: Run, recipe: Recipe) -> tuple[Any, ...]:
    """Fields that must match, beside ``batch_key``, for runs to share a source's forward pass."""
    return run.source, run.mix, recipe.architecture, recipe.precision
