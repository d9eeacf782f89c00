"""The training loss: cross entropy plus the method's penalty, micro-batch by micro-batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from gta.errors import GtaError
from gta.methods import Method, Readings, Step, TapRequest, full_precision
from gta.methods.readings import narrowed
from gta.models.families import indices_of
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
    """Objective of a run: the mean cross entropy plus ``lam`` times its method's penalty.

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
        losses = [terms["cross_entropy"]]
        first = part.start == 0
        for method, lam in self.method.terms(self.lam):
            if method.over == "features" and ahead is not None:
                rows = full_precision(features_of(step.target))
                losses.append((rows * ahead.gradient[part]).sum())
                terms |= ahead.terms if first else {}
                continue
            own = step if method is self.method else self._own(step, method)
            if method.over == "images":
                penalty = method.penalty(own, lam)
                penalty = {name: share * term for name, term in penalty.items()}
            else:
                penalty = method.penalty(own, lam) if first else {}
            losses.extend(penalty.values())
            terms |= penalty
        return Loss(torch.stack(losses).sum(), terms)

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
        terms: dict[str, Tensor] = {}
        for method, lam in self.method.terms(self.lam):
            if method.over == "features":
                terms |= method.penalty(whole, lam)
        (gradient,) = torch.autograd.grad(torch.stack(tuple(terms.values())).sum(), leaf)
        return FeaturePenalty({name: term.detach() for name, term in terms.items()}, gradient)

    def _own(self, step: Step, part: Method) -> Step:
        """A step with the readings that one part of a combination requests."""
        indices = partial(indices_of, model=step.model)
        taken = (self.method.taps or TapRequest()) | (self.mix.taps or TapRequest())
        target, source = narrowed(step.target, taken, part.taps, indices), step.source
        if source is not None and self.method.source_taps is not None:
            source = narrowed(source, self.method.source_taps, part.source_taps, indices)
        return replace(step, target=target, source=source)

    @property
    def needs_features(self) -> bool:
        """Whether a penalty is over the features of the whole batch."""
        return any(method.over == "features" for method, _ in self.method.terms(self.lam))


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
