"""What a method is: which parameters train, what it reads, and its penalty.

A method is a frozen dataclass; its fields are its settings, by the names a config uses. To add one,
write its file and enter it in ``gta/methods/__init__.py`` and in ``gta.catalog.METHODS``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from gta.errors import GtaError
from gta.models.taps import Blocks, Readings, TapRequest

T = TypeVar("T")

Over = Literal["images", "weights", "features"]
"""What a penalty is taken over, and so how that of a batch is found from its micro-batches:

``images``: a mean over images; each micro-batch counts by its share of the batch.
``weights``: of the parameters alone; counted once.
``features``: of ``Readings.features`` of all images together, and of nothing else. It is taken of
    the whole batch's, found beforehand without a graph; each micro-batch is then given its rows of
    the gradient (GradCache: Gao et al., arXiv 2101.06983).
"""


@dataclass(frozen=True)
class Step:
    """What a penalty may look at in one training step.

    Attributes:
        model: the target.
        target: what ``Method.taps`` asked for, on these images.
        source: what ``Method.source_taps`` asked for, on the same images; constants.
        source_parameters: the source's weights by name (the head's may be missing); constants.
    """

    model: nn.Module
    target: Readings
    source: Readings | None
    source_parameters: Mapping[str, Tensor]


@dataclass(frozen=True)
class Method:
    """A way to fine-tune; as it stands here: every parameter trains, no penalty.

    Attributes:
        name: key in configs and run names.
        weight_decay: False where the penalty decays the weights, so that the optimiser must not.
        over: what the penalty is taken over.
    """

    name: ClassVar[str]
    weight_decay: ClassVar[bool] = True
    over: ClassVar[Over] = "images"

    @property
    def taps(self) -> TapRequest | None:
        """What to read from the target, None for nothing."""
        return None

    @property
    def source_taps(self) -> TapRequest | None:
        """What to read from the frozen source, None for no forward pass of it."""
        return None

    def trains(self, parameter: str) -> bool:
        """Whether the parameter of that name (as timm names it) is updated."""
        return True

    def terms(self, step: Step, lam: float) -> dict[str, Tensor]:
        """Named scalar terms, weighted, to add to the cross entropy.

        ``step`` may be of a micro-batch: ``over`` says what becomes of its terms. They are
        computed in at least float32 whatever the model's precision.
        """
        return {}

    def _error(self, problem: str) -> GtaError:
        return GtaError(f"method {self.name}: {problem}")

    def _needed(self, reading: T | None) -> T:
        """``reading``, which the training loop owes this method."""
        if reading is None:
            raise self._error("the step lacks a reading that the method's taps ask for")
        return reading


@dataclass(frozen=True)
class Guide(Method):
    """Common part of the methods that hold a reading of the target near the source's.

    Attributes:
        reduction: ``sum`` is equation 5 of the paper: the sum of squared differences over all that
            is read of an image, then the mean over the batch. ``mean`` also divides by how much is
            read (the mean squared error). The paper does not say which its code used; the scale of
            lambda depends on it.
        blocks: the blocks that are guided; the paper guides all.
    """

    reduction: Literal["sum", "mean"] = "sum"
    blocks: Blocks = "all"

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise self._error(f"reduction must be sum or mean, not {self.reduction!r}")
        if self.blocks == "all":
            return
        if (
            not isinstance(self.blocks, Sequence)
            or not self.blocks
            or not all(type(block) is int for block in self.blocks)
        ):
            raise self._error(f"blocks must be all or a list of indices, not {self.blocks!r}")
        object.__setattr__(self, "blocks", tuple(self.blocks))  # a config gives a list

    @property
    def source_taps(self) -> TapRequest | None:
        """The same as from the target."""
        return self.taps

    def _distance(self, pairs: Iterable[tuple[Tensor, Tensor]], batch: int) -> Tensor:
        """Squared L2 distance of (target, source) pairs that together hold ``batch`` images."""
        differences = [full_precision(target) - full_precision(source) for target, source in pairs]
        total = torch.stack([difference.square().sum() for difference in differences]).sum()
        if self.reduction == "sum":
            return total / batch
        return total / sum(difference.numel() for difference in differences)


@dataclass(frozen=True)
class TokenGuide(Guide):
    """Guidance on token vectors (B, T, D), one tensor a block.

    Attributes:
        tokens: ``all`` (our reading of the paper, which does not say), ``patches`` or ``cls``.
    """

    tokens: Literal["all", "patches", "cls"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens not in ("all", "patches", "cls"):
            raise self._error(f"tokens must be all, patches or cls, not {self.tokens!r}")

    def _token_distance(
        self, target: Sequence[Tensor], source: Sequence[Tensor], prefix_tokens: int
    ) -> Tensor:
        if not target or not source:
            raise self._error("the step lacks a reading that the method's taps ask for")
        chosen = {
            "all": slice(None),
            "patches": slice(prefix_tokens, None),
            "cls": slice(0, 1),
        }[self.tokens]
        pairs = ((t[:, chosen], s[:, chosen]) for t, s in zip(target, source, strict=True))
        return self._distance(pairs, batch=len(target[0]))


def is_head(parameter: str) -> bool:
    """Whether a parameter, by timm's name, belongs to the classification head."""
    return parameter.startswith("head.")


def full_precision(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or float64 if it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
