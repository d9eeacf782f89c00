"""Base classes of the methods that keep a reading of the target near the source's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from gta.methods.base import Method, full_precision
from gta.methods.readings import Blocks, TapRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Guide(Method):
    """A penalty on the squared distance between a reading of the target and the source's.

    The paper gives the guides neither a grid nor a token set; they use GTA's grid and all tokens.

    Attributes:
        reduction: ``sum`` is equation 5 of the paper: the sum of squared differences over all
            readings of an image, then the mean over the batch. ``mean`` is the mean squared error.
            The paper does not say which its code used; the scale of lambda depends on it.
        blocks: guided blocks; the paper guides all. ``global`` leaves out those of windows, where
            no place competes with all others (Swin, GC ViT).
    """

    default_lam: ClassVar[float | None] = 1.0
    grid: ClassVar[tuple[float, ...]] = (0.1, 1.0, 10.0, 100.0)

    reduction: Literal["sum", "mean"] = "sum"
    blocks: Blocks = "all"

    @property
    def lam_of(self) -> str:
        """The reduction: lambda 10 of a mean is not lambda 10 of a sum."""
        return self.reduction

    @property
    def source_taps(self) -> TapRequest | None:
        """Request the same readings from the source as from the target."""
        return self.taps

    def squared(self, pairs: Iterable[tuple[Tensor, Tensor]], batch: int) -> Tensor:
        """Squared L2 distance of (target, source) pairs that together hold ``batch`` images."""
        import torch

        differences = [full_precision(target) - full_precision(source) for target, source in pairs]
        total = torch.stack([difference.square().sum() for difference in differences]).sum()
        if self.reduction == "sum":
            return total / batch
        return total / sum(difference.numel() for difference in differences)


@dataclass(frozen=True)
class TokenGuide(Guide):
    """A guide of token vectors (B, T, D), one tensor per block.

    Attributes:
        tokens: ``all`` (our reading of the paper, which does not say), ``patches`` or ``cls``.
    """

    tokens: Literal["all", "patches", "cls"] = "all"

    @property
    def needs_cls(self) -> bool:
        """Only where [cls] alone is guided."""
        return self.tokens == "cls"

    def token_distance(
        self, target: Sequence[Tensor], source: Sequence[Tensor], prefix_tokens: int
    ) -> Tensor:
        """Squared L2 distance of the chosen tokens over all blocks.

        Raises:
            GtaError: a reading is missing.
        """
        if not target or not source:
            raise self.error("the step lacks a reading that the method's taps request")
        chosen = {
            "all": slice(None),
            "patches": slice(prefix_tokens, None),
            "cls": slice(0, 1),
        }[self.tokens]
        pairs = ((t[:, chosen], s[:, chosen]) for t, s in zip(target, source, strict=True))
        return self.squared(pairs, batch=len(target[0]))
