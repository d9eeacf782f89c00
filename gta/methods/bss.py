"""BSS, batch spectral shrinkage: Chen et al., "Catastrophic Forgetting Meets Negative Transfer"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gta.methods.base import Method, Over, Step, full_precision
from gta.models.taps import TapRequest


@dataclass(frozen=True)
class BSS(Method):
    """The smallest singular values of the batch's features are shrunk.

    lam * sum of the k smallest squared singular values of the matrix (B, D) of what the head sees,
    as ``BatchSpectralShrinkage`` of thuml/Transfer-Learning-Library.

    Attributes:
        k: how many singular values.
    """

    name: ClassVar[str] = "bss"
    over: ClassVar[Over] = "features"

    k: int = 1

    def __post_init__(self) -> None:
        if type(self.k) is not int or self.k < 1:
            raise self._error(f"k must be a whole number from 1, not {self.k!r}")

    @property
    def taps(self) -> TapRequest:
        """The features."""
        return TapRequest(features=True)

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """``bss``.

        Raises:
            GtaError: the features have fewer than k singular values.
        """
        # Not by eigenvalues of the Gram matrix: squaring leaves the smallest no correct digit.
        values = torch.linalg.svdvals(full_precision(self._needed(step.target.features)))
        if len(values) < self.k:
            raise self._error(f"k is {self.k}, but the features have {len(values)} singular values")
        return {"bss": lam * values[-self.k :].square().sum()}
