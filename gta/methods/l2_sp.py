"""L2-SP: Li et al., "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gta.methods.base import Method, Over, Step, full_precision, is_head


@dataclass(frozen=True)
class L2SP(Method):
    """The backbone is drawn to the source's weights, the head to zero.

    lam / 2 ||w - w0||^2 over the backbone's trainable parameters, and head / 2 ||v||^2 over the
    head's, its bias included. As ``SPRegularization`` and ``L2Regularization`` of
    thuml/Transfer-Learning-Library, with the optimiser's own weight decay off as there.

    Attributes:
        head: weight of the head's term, which lambda does not change.
    """

    name: ClassVar[str] = "l2_sp"
    weight_decay: ClassVar[bool] = False
    over: ClassVar[Over] = "weights"

    head: float = 0.01

    def __post_init__(self) -> None:
        if isinstance(self.head, bool) or not isinstance(self.head, int | float) or self.head < 0:
            raise self._error(f"head must be a number from 0, not {self.head!r}")

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``l2_sp`` and ``l2_head``.

        Raises:
            GtaError: the source lacks a trainable parameter of the backbone.
        """
        backbone, head = [], []
        for name, parameter in step.model.named_parameters():
            if not parameter.requires_grad:
                continue
            weights = full_precision(parameter)
            if is_head(name):
                head.append(weights.square().sum())
            elif name in step.source_parameters:
                start = full_precision(step.source_parameters[name])
                backbone.append((weights - start).square().sum())
            else:
                raise self._error(f"the source has no parameter {name}")
        return {
            "l2_sp": lam / 2 * torch.stack(backbone).sum(),
            "l2_head": self.head / 2 * torch.stack(head).sum(),
        }
