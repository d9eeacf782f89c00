"""The gradients of a batch's loss, added up over micro-batches: as those of the batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gta.errors import GtaError
from gta.methods import Method, Step
from gta.methods.base import full_precision
from gta.methods.readings import Readings
from gta.train.mixing import Mix, Mixed

REMEDY = "lower recipe.lr or the penalty's lambda"


@dataclass(frozen=True)
class Objective:
    """What a run minimises: the mean cross entropy plus its method's penalty.

    Attributes:
        model: the target.
        look: gives logits (b, K) and what method and mix read of the images ``part`` of a batch.
        mix: which labels the images have.
        label_smoothing: of the cross entropy.
        method: whose penalty.
        lam: its weight.
        source_parameters: gives the source's, by name.
    """

    model: nn.Module
    look: Callable[[Mixed, slice], tuple[Tensor, Readings]]
    mix: Mix
    label_smoothing: float
    method: Method
    lam: float
    source_parameters: Callable[[], Mapping[str, Tensor]]


class Gradients:
    """One batch's gradients on their way.

    Each mean over images is the sum of those of the micro-batches, weighted by their shares of
    the batch; ``Method.over`` says what holds of the penalty. The sums equal the whole batch's but
    for rounding, and bit for bit where one micro-batch is the batch.

    Attributes:
        terms: of the loss so far, weighted, constants; complete after the last micro-batch.
        accuracy: share of the batch that is classified as labelled, so far.
    """

    def __init__(
        self, objective: Objective, mixed: Mixed, parts: Sequence[slice], iteration: int
    ) -> None:
        """Begin; a penalty of all images together is taken here, in a first pass without graph.

        Args:
            objective: the loss.
            mixed: the batch.
            parts: its images in the micro-batches that ``add`` will be given, in order.
            iteration: for messages.

        Raises:
            GtaError: the penalty cannot be computed.
        """
        self.terms: dict[str, Tensor] = {}
        self.accuracy: Tensor | float = 0.0
        self._objective, self._mixed, self._iteration = objective, mixed, iteration
        self._of_features: Tensor | None = None  # the penalty's gradient, a row an image
        if objective.method.over == "features" and len(parts) > 1:
            self._look_ahead(parts)

    def add(self, part: slice, source: Readings | None, scaler: torch.amp.GradScaler) -> None:
        """Add a micro-batch's gradients to those of the parameters.

        Args:
            part: which images of the batch.
            source: what the method reads from the source, on the same images.
            scaler: of the loss.

        Raises:
            GtaError: the penalty cannot be computed.
        """
        logits, target, cross_entropy = self._look(part)
        self._note({"cross_entropy": cross_entropy})
        penalties = self._penalties(part, target, source)
        self._note(penalties)
        losses = [cross_entropy, *penalties.values()]
        if self._of_features is not None:
            rows = full_precision(_features(target))
            losses.append((rows * self._of_features[part]).sum())
        scaler.scale(torch.stack(losses).sum()).backward()
        right = (logits.argmax(1) == self._mixed.labels[part]).float().mean()
        self.accuracy = self.accuracy + self._share(part) * right

    def _look(self, part: slice) -> tuple[Tensor, Readings, Tensor]:
        """Logits, readings, and the share of the cross entropy."""
        objective = self._objective
        logits, target = objective.look(self._mixed, part)
        loss = objective.mix.cross_entropy(
            logits, self._mixed.part(part), target, objective.label_smoothing
        )
        return logits, target, self._share(part) * loss

    def _share(self, part: slice) -> float:
        return (part.stop - part.start) / len(self._mixed.images)

    def _penalties(
        self, part: slice, target: Readings, source: Readings | None
    ) -> dict[str, Tensor]:
        """What a micro-batch adds to the penalty."""
        over = self._objective.method.over
        if over == "images":
            terms = self._terms(target, source)
            return {name: self._share(part) * term for name, term in terms.items()}
        counted = self._of_features is not None or part.start > 0
        return {} if counted else self._terms(target, source)

    def _look_ahead(self, parts: Sequence[slice]) -> None:
        """The penalty of the features of all images, and its gradient by them."""
        rows = []
        with torch.no_grad():
            for part in parts:
                _, target, cross_entropy = self._look(part)
                self._note({"cross_entropy": cross_entropy})
                rows.append(_features(target))
        features = full_precision(torch.cat(rows)).requires_grad_()
        penalties = self._terms(Readings(features=features), None)
        total = torch.stack(tuple(penalties.values())).sum()
        (self._of_features,) = torch.autograd.grad(total, features)
        self.terms = {"cross_entropy": torch.zeros_like(cross_entropy)}  # counted by `add`
        self._note(penalties)

    def _terms(self, target: Readings, source: Readings | None) -> dict[str, Tensor]:
        objective = self._objective
        step = Step(objective.model, target, source, objective.source_parameters())
        try:
            return objective.method.penalty(step, objective.lam)
        except torch.linalg.LinAlgError as error:  # a decomposition of what is not finite
            check_finite(values_of(self.terms), self._iteration)
            name = objective.method.name
            raise GtaError(f"iteration {self._iteration}: {name}: {error}") from None

    def _note(self, terms: Mapping[str, Tensor]) -> None:
        for name, term in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + term.detach()


def check_finite(terms: Mapping[str, float], iteration: int) -> None:
    """Stop at a loss, the sum of ``terms``, that is not a number.

    Raises:
        GtaError: with the iteration and each term.
    """
    if math.isfinite(sum(terms.values())):
        return
    said = ", ".join(f"{name} {term:g}" for name, term in terms.items())
    raise GtaError(f"the loss is not finite at iteration {iteration} ({said}); {REMEDY}")


def values_of(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalars as numbers, in one wait for the device."""
    stacked = torch.stack([scalar.detach().float() for scalar in scalars.values()])
    return dict(zip(scalars, stacked.tolist(), strict=True))


def _features(target: Readings) -> Tensor:
    if target.features is None:
        raise GtaError("a penalty over features must name them in its method's taps")
    return target.features
