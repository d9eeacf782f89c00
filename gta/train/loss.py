"""The training loss: cross entropy plus the method's penalty, micro-batch by micro-batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gta.errors import GtaError
from gta.methods import Method, Readings, Step, full_precision
from gta.train.mixing import Mix, Mixed

REMEDY = "lower recipe.lr or the penalty's lambda"


class Loss(NamedTuple):
    """The loss of a micro-batch.

    Attributes:
        total: scalar to call ``backward`` on.
        terms: its parts by name, weighted; over a batch's micro-batches they sum to its loss.
    """

    total: Tensor
    terms: dict[str, Tensor]


class FeaturePenalty(NamedTuple):
    """A penalty over the features of a whole batch, and its gradient.

    Attributes:
        terms: the penalty's terms, constants.
        gradient: (B, D), by the features.
    """

    terms: dict[str, Tensor]
    gradient: Tensor


@dataclass(frozen=True)
class Objective:
    """What a run minimises: the mean cross entropy plus ``lam`` times its method's penalty.

    Attributes:
        mix: how images and labels are mixed.
        label_smoothing: of the cross entropy.
        method: the run's method.
        lam: weight of its penalty.
    """

    mix: Mix
    label_smoothing: float
    method: Method
    lam: float

    def loss(
        self,
        logits: Tensor,
        batch: Mixed,
        part: slice,
        step: Step,
        ahead: FeaturePenalty | None = None,
    ) -> Loss:
        """The share of a batch's loss that a micro-batch adds.

        Each mean over images is weighted by the micro-batch's share of the batch, so that the
        gradients of all micro-batches sum to the batch's; ``Method.over`` says how the penalty
        divides. With one micro-batch this is the plain loss, bit for bit.

        Args:
            logits: (b, K) of the micro-batch.
            batch: the whole batch.
            part: the micro-batch's images in it.
            step: readings of the micro-batch.
            ahead: the penalty of the whole batch's features, where ``over`` is ``features`` and
                there are several micro-batches.

        Raises:
            GtaError: the penalty cannot be computed.
        """
        share = (part.stop - part.start) / len(batch.images)
        cross_entropy = self.mix.cross_entropy(
            logits, batch.part(part), step.target, self.label_smoothing
        )
        terms = {"cross_entropy": share * cross_entropy}
        first = part.start == 0
        if ahead is not None:
            penalty = ahead.terms if first else {}
            rows = full_precision(features_of(step.target))
            guidance = [(rows * ahead.gradient[part]).sum()]
        else:
            guidance = []
            if self.method.over == "images":
                penalty = self._penalty(step)
                penalty = {name: share * term for name, term in penalty.items()}
            else:
                penalty = self._penalty(step) if first else {}
        losses = [terms["cross_entropy"], *(guidance or penalty.values())]
        return Loss(torch.stack(losses).sum(), {**terms, **penalty})

    def penalty_of_features(self, features: Tensor, step: Step) -> FeaturePenalty:
        """The penalty of the features (B, D) of a whole batch, and its gradient by them.

        Raises:
            GtaError: the penalty cannot be computed.
        """
        leaf = full_precision(features).detach().requires_grad_()
        whole = Step(
            step.model,
            Readings(features=leaf),
            None,
            step.source_parameters,
            progress=step.progress,
        )
        terms = self._penalty(whole)
        (gradient,) = torch.autograd.grad(torch.stack(tuple(terms.values())).sum(), leaf)
        return FeaturePenalty({name: term.detach() for name, term in terms.items()}, gradient)

    def _penalty(self, step: Step) -> dict[str, Tensor]:
        return self.method.penalty(step, self.lam)


def features_of(target: Readings) -> Tensor:
    """The features (b, D) that a penalty over features is computed from.

    Raises:
        GtaError: they were not read.
    """
    if target.features is None:
        raise GtaError("a penalty over features must request them in its method's taps")
    return target.features


def check_finite(terms: Mapping[str, float], iteration: int) -> None:
    """Stop at a loss, the sum of ``terms``, that is not a finite number.

    Raises:
        GtaError: with the iteration and each term.
    """
    if math.isfinite(sum(terms.values())):
        return
    said = ", ".join(f"{name} {term:g}" for name, term in terms.items())
    raise GtaError(f"the loss is not finite at iteration {iteration} ({said}); {REMEDY}")
