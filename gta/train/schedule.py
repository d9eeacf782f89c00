"""How weights are updated: the learning rate over the iterations, and AdamW's groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from gta.methods import Method
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """Linear warm-up, then a cosine from ``lr`` down to ``min_lr``.

    The warm-up starts at ``warmup_lr`` as in timm, or one step above 0 where that is not given.
    """
    warmup = recipe.warmup_iterations
    if iteration < warmup:
        if recipe.warmup_lr is not None:
            return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * iteration / warmup
        return recipe.lr * (iteration + 1) / warmup
    share = (iteration - warmup) / (recipe.iterations - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * share)) / 2


def build_optimiser(model: VisionTransformer, method: Method, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over the parameters that the method trains; the others are frozen.

    As in DeiT, biases, norms, the [cls] token and position embeddings do not decay.
    """
    exempt = model.no_weight_decay()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(method.trains(name))
        if parameter.requires_grad:
            decays = method.weight_decay and parameter.ndim > 1 and name not in exempt
            groups.setdefault((name.startswith("head."), decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "lr_multiple": recipe.head_lr_multiple if head else 1.0,
            }
            for (head, decays), parameters in groups.items()
        ],
        lr=recipe.lr,
        betas=recipe.betas,
        fused=True,  # one kernel, on CPUs too; it also leaves float16's check on the device
    )
