"""The last block for [cls] alone against the whole block: training and testing, one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.figures import Figure, in_turn
from gta.models.cls_only import forward_cls
from gta.models.vit import create

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

REPEATS = 7
EACH_PROCESSOR = True
CLASSES = 10
# name: architecture, side, batch, goal of training, and of testing
MODELS = {
    "mini": ("vit_mini_patch8", 48, 32, 0.8, None),
    "vit_s": ("vit_small_patch16_224", 224, 4, 0.93, None),
}


def measure(repeats: int) -> list[Figure]:
    """Forward and backward of a batch of noise without an optimiser, and forward alone."""
    torch.set_num_threads(1)
    rows = []
    for name, (architecture, side, batch, training, testing) in MODELS.items():
        model = create(architecture, side, CLASSES)
        images = torch.randn(batch, 3, side, side)
        for what, work, goal in (("training", _train, training), ("testing", _test, testing)):
            own = partial(work, partial(forward_cls, model), model, images)
            plain = partial(work, model, model, images)
            pairs = in_turn(own, plain, repeats, time.process_time)
            cls, whole = (1000 * median(seconds) for seconds in zip(*pairs, strict=True))
            rows.append(
                Figure(
                    f"last_block_{what}_{name}",
                    f"last block for [cls] alone / for all tokens: {what} of {architecture} at "
                    f"{side}, batch {batch}, one core",
                    tuple(first / second for first, second in pairs),
                    goal,
                    detail=f"{cls:.0f} ms / {whole:.0f} ms",
                )
            )
    return rows


Forward = Callable[[torch.Tensor], torch.Tensor]


def _train(forward: Forward, model: VisionTransformer, images: torch.Tensor) -> None:
    """A training step but for its optimiser."""
    model.train().zero_grad(set_to_none=True)
    labels = torch.zeros(len(images), dtype=torch.long)
    F.cross_entropy(forward(images), labels).backward()


@torch.inference_mode()
def _test(forward: Forward, model: VisionTransformer, images: torch.Tensor) -> None:
    """Logits without gradients."""
    model.eval()
    forward(images)
