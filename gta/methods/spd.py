"""Selective projection decay: tensors that drift from the source are pulled back to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gta.methods.base import Method, is_head

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SPD(Method):
    """After the optimiser's step, tensors that drift against their gradient are projected back.

    For each tensor w of the backbone, with gradient g, source w0 and w' after Adam's step: where
    g . (w - w0) > 0, that is where descent along g alone would lead back towards the source,
    w' -= lam * clip((||w' - w0|| - ||w - w0||) / ||w' - w0||, 0, 1) * (w' - w0). Lambda 1 takes
    back the whole increase of the distance; a tensor whose gradient leads away from the source,
    or whose distance does not grow, is left alone. The optimiser's own weight decay is off, and
    the head, which has no source, does not decay.
    """

    name: ClassVar[str] = "spd"
    title: ClassVar[str] = "SPD"
    reference: ClassVar[str] = (
        "Tian et al., Rethinking Weight Decay for Robust Fine-Tuning of Foundation Models, "
        "NeurIPS 2024"
    )
    default_lam: ClassVar[float | None] = 1.0
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.3, 1.0)

    @property
    def weight_decay(self) -> bool:
        """Off: the projection takes its place."""
        return False

    @contextmanager
    def updating(
        self, model: nn.Module, anchors: Mapping[str, Tensor], lam: float
    ) -> Iterator[None]:
        """Project after the step.

        Raises:
            GtaError: the source lacks a trainable parameter of the backbone.
        """
        import torch

        kept = []
        for name, parameter in model.named_parameters():
            if parameter.grad is None or is_head(name):
                continue
            if name not in anchors:
                raise self.error(f"the source has no parameter {name}")
            way = parameter.detach() - anchors[name]
            kept.append((parameter, anchors[name], way.norm(), (parameter.grad * way).sum()))
        yield
        with torch.no_grad():
            for parameter, anchor, before, aligned in kept:
                way = parameter - anchor
                after = way.norm()
                grown = (1 - before / after).nan_to_num(0.0).clamp(0, 1)
                parameter.sub_(torch.where(aligned > 0, lam * grown, 0.0) * way)
