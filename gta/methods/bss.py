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

    k: Annotated[int, Field(ge=1, le=65_536)] = 1

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

        features = full_precision(self.needed(step.target.features))
        count = min(features.shape)
        if count < self.k:
            raise self.error(f"k is {self.k}, but the features have {count} singular values")
        # The singular vectors are the eigenvectors of the smaller Gram matrix. Its eigenvalues lose
        # the digits of small singular values; the features' projections on its eigenvectors do not,
        # and their gradient is that of the singular values.
        matrix = features if features.shape[0] <= features.shape[1] else features.T
        with torch.autocast(matrix.device.type, enabled=False):
            with torch.no_grad():
                # in float64: float32 mixes the eigenvectors of small singular values
                wide = matrix.double()
                gram = (wide @ wide.T).nan_to_num()  # eigh refuses what the loss will report
                vectors = torch.linalg.eigh(gram).eigenvectors[:, : self.k]
            return {"bss": lam * (vectors.to(matrix.dtype).T @ matrix).square().sum()}
