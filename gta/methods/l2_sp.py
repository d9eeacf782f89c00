"""L2-SP: the backbone decays to the source's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from gta.methods.base import Method, Over, Step, is_head

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class L2SP(Method):
    """The backbone decays to the source's weights, the head to zero.

    lam / 2 ||w - w0||^2 over the backbone's trainable parameters, and head / 2 ||v||^2 over the
    head's, bias included. As ``SPRegularization`` and ``L2Regularization`` of
    thuml/Transfer-Learning-Library, with the optimiser's own weight decay off as there.

    Attributes:
        head: weight of the head's term, which lambda does not change.
        weight_decay: whether the optimiser decays the weights as well. TLlib switches it off; the
            paper does not say.
    """

    name: ClassVar[str] = "l2_sp"
    title: ClassVar[str] = "L2-SP"
    reference: ClassVar[str] = (
        "Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, "
        "ICML 2018"
    )
    default_lam: ClassVar[float | None] = 0.01
    grid: ClassVar[tuple[float, ...]] = (0.001, 0.01, 0.1)
    order: ClassVar[int] = 2
    over: ClassVar[Over] = "weights"

    head: Annotated[float, Field(ge=0, le=1e6)] = 0.01
    weight_decay: bool = False

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``l2_sp`` and ``l2_head``.

        Raises:
            GtaError: the source lacks a trainable parameter of the backbone.
        """
        from gta.methods._squares import half_squared_distance  # imports torch

        backbone, anchors, head = [], [], []
        for name, parameter in step.model.named_parameters():
            if not parameter.requires_grad:
                continue
            if is_head(name):
                head.append(parameter)
            elif name in step.source_parameters:
                backbone.append(parameter)
                anchors.append(step.source_parameters[name])
            else:
                raise self.error(f"the source has no parameter {name}")
        return {
            "l2_sp": lam * half_squared_distance(backbone, anchors),
            "l2_head": self.head * half_squared_distance(head, []),
        }
