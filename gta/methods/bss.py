"""BSS, batch spectral shrinkage: the smallest singular values of the features are shrunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from gta.methods.base import Method, Over, Step, full_precision
from gta.methods.readings import TapRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BSS(Method):
    """The smallest singular values of the batch's features are shrunk.

    lam * sum of the k smallest squared singular values of the head's input (B, D), as
    ``BatchSpectralShrinkage`` of thuml/Transfer-Learning-Library.

    Attributes:
        k: number of singular values.
    """

    name: ClassVar[str] = "bss"
    title: ClassVar[str] = "BSS"
    reference: ClassVar[str] = (
        "Chen et al., Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage "
        "for Safe Transfer Learning, NeurIPS 2019"
    )
    default_lam: ClassVar[float | None] = 0.001
    grid: ClassVar[tuple[float, ...]] = (0.0001, 0.001, 0.01)
    order: ClassVar[int] = 3
    over: ClassVar[Over] = "features"

    k: Annotated[int, Field(ge=1)] = 1

    @property
    def taps(self) -> TapRequest:
        """The features."""
        return TapRequest(features=True)

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``bss``.

        Raises:
            GtaError: the features have fewer than k singular values.
        """
        import torch

        # Not by eigenvalues of the Gram matrix: squaring leaves the smallest no correct digit.
        values = torch.linalg.svdvals(full_precision(self.needed(step.target.features)))
        if len(values) < self.k:
            raise self.error(f"k is {self.k}, but the features have {len(values)} singular values")
        return {"bss": lam * values[-self.k :].square().sum()}
