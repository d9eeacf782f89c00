"""The learning-rate schedule and the optimiser."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from gta.methods import Method
from gta.models.families import named_blocks
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


def lr_multiple(parameter: str, blocks: Sequence[str], recipe: Recipe) -> float:
    """Factor of the learning rate of a parameter, by timm's name.

    Layer-wise decay: ``layer_decay`` to the power of the number of layers above, as MAE and BEiT
    count them: the embeddings are layer 0, block i is layer i + 1, norm and head are the last.
    What lies between the stages of a Swin or GC ViT counts to the first block after it.

    Args:
        parameter: its name.
        blocks: names of the blocks, in their order (``gta.models.families.named_blocks``).
        recipe: its ``layer_decay`` and ``head_lr_multiple``.
    """
    if parameter.startswith("head."):
        return recipe.head_lr_multiple
    last = len(blocks) + 1
    inside = [i for i, block in enumerate(blocks) if parameter.startswith(f"{block}.")]
    stage = parameter.split(".")[:2]
    behind = [i for i, block in enumerate(blocks) if block.split(".")[:2] == stage]
    if parameter.startswith(("norm.", "fc_norm.")) or re.match(r"stages\.\d+\.norm\.", parameter):
        layer = last
    elif inside or behind:
        layer = (inside or behind)[0] + 1
    else:
        layer = 0
    return recipe.layer_decay ** (last - layer)


def build_optimiser(model: VisionTransformer, method: Method, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over the parameters that the method trains; the others are frozen.

    As in DeiT, biases, norms, the [cls] token and position embeddings do not decay.
    """
    exempt = model.no_weight_decay()
    blocks = [name for name, _ in named_blocks(model)]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(method.trains(name))
        if parameter.requires_grad:
            exempted = parameter.ndim == 1 or name in exempt or not method.decays(name)
            decays = method.weight_decay and not exempted
            multiple = lr_multiple(name, blocks, recipe)
            groups.setdefault((multiple, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "lr_multiple": multiple,
            }
            for (multiple, decays), parameters in groups.items()
        ],
        lr=recipe.lr,
        betas=recipe.betas,
        fused=True,  # one kernel, on CPUs too; it also leaves float16's check on the device
    )
