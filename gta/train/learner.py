"""One run's own part of training: model, optimiser, history, and a step on a batch given to it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gta import methods
from gta.data.seeds import Stream, derive
from gta.errors import GtaError
from gta.methods import Step
from gta.mixing import MIXES, Mixed
from gta.models.sources import load_backbone, load_source, read_weights
from gta.models.taps import Readings, TapRequest, Taps
from gta.models.vit import create, initialise_head
from gta.study import Recipe, Run, Study
from gta.train.schedule import build_optimiser, learning_rate

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

REMEDY = "lower recipe.lr or the penalty's lambda"


class Start:
    """A source as runs start from it, read once for all of them."""

    def __init__(self, path: Path, recipe: Recipe, device: torch.device) -> None:
        """Read nothing yet: a source that does not fit is an error of the runs that need it."""
        self.path = path
        self._architecture, self._image_size = recipe.architecture, recipe.image_size
        self._device = device

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The file's tensors, by name."""
        return read_weights(self.path)

    @cached_property
    def model(self) -> VisionTransformer:
        """The frozen source."""
        return load_source(self.path, self._architecture, self._image_size).to(self._device)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The frozen source's parameters, by name."""
        return dict(self.model.named_parameters())


class Learner:
    """A run on its way.

    Nothing random is carried from one iteration to the next: every draw follows from the run's
    seed and the iteration, so that model, optimiser and scaler are all there is to save.

    Attributes:
        run: its identity.
        recipe: its settings.
        mix: how its batches are mixed.
        start: its source.
        model: its model, on the device.
        iteration: iterations done, and so the index of the next.
        history: a row an iteration.
        seconds: spent on training it.
    """

    def __init__(
        self, study: Study, run: Run, classes: int, start: Start, device: torch.device
    ) -> None:
        """Build the model at its start.

        Raises:
            GtaError: the source does not fit the model, or a setting of the method is wrong.
        """
        self.run, self.start, self.device = run, start, device
        self.recipe = recipe = study.recipe(run)
        self._method = methods.create(run.method, **study.method_settings(run.method))
        settings = recipe.transmix.model_dump() if run.mix == "transmix" else {}
        self.mix = MIXES[run.mix](**settings)
        self.model = create(recipe.architecture, recipe.image_size, classes, recipe.drop_path)
        load_backbone(self.model, start.weights, start.path)
        initialise_head(self.model, recipe.head_init_std, run.seed)
        self.model.to(device).train()
        self._optimiser = build_optimiser(self.model, self._method, recipe)
        half = recipe.precision == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=half)
        request = (self._method.taps or TapRequest()) | (self.mix.taps or TapRequest())
        self._taps = Taps(self.model, request) if request != TapRequest() else None
        self.iteration = 0
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0

    @property
    def source_taps(self) -> TapRequest | None:
        """What its method reads from the frozen source, None for nothing."""
        return self._method.source_taps

    @property
    def finished(self) -> bool:
        """Whether all its iterations are done."""
        return self.iteration == self.recipe.iterations

    def step(self, mixed: Mixed, source: Readings | None) -> None:
        """One iteration: cross entropy plus the method's penalty, AdamW, cosine schedule.

        Args:
            mixed: the batch of this iteration, as ``mix`` made it.
            source: what ``source_taps`` asks for, on the same images.

        Raises:
            GtaError: if the loss is not finite, with the iteration and the terms of the loss.
        """
        begin, recipe, iteration = time.perf_counter(), self.recipe, self.iteration
        torch.manual_seed(derive(self.run.seed, Stream.DROP_PATH, iteration))
        with autocast(recipe, self.device), self._taps or nullcontext():
            logits = self.model(mixed.images)
            target = self._taps.take() if self._taps is not None else Readings()
        terms = {
            "cross_entropy": self.mix.cross_entropy(logits, mixed, target, recipe.label_smoothing)
        }
        seen = Step(self.model, target, source, self.start.parameters)
        try:
            terms |= self._method.terms(seen, self.run.lam)
        except torch.linalg.LinAlgError as error:  # a decomposition of what is not finite
            check_finite(_values(terms), iteration)
            raise GtaError(f"iteration {iteration}: {self.run.method}: {error}") from None
        lr = learning_rate(recipe, iteration)
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group["lr_multiple"]
        loss = torch.stack(tuple(terms.values())).sum()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimiser)
        self._scaler.update()
        # Not before the next backward pass: while others step, this run holds no gradients.
        self._optimiser.zero_grad(set_to_none=True)
        # The one wait for the device in an iteration.
        values = _values({**terms, "acc1": (logits.argmax(1) == mixed.labels).float().mean()})
        acc1 = 100 * values.pop("acc1")
        check_finite(values, iteration)
        cross_entropy, *penalties = values.values()
        self.history.append(
            {
                "iteration": iteration,
                "lr": lr,
                "cross_entropy": cross_entropy,
                "penalty": sum(penalties),
                "train_acc1": acc1,
                "heldout_acc1": None,
            }
        )
        self.iteration += 1
        self.seconds += time.perf_counter() - begin

    def state(self) -> dict[str, Any]:
        """All that the next iteration depends on, as ``restore`` takes it back."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same run and recipe."""
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self.history = list(state["history"])
        self.seconds = state["seconds"]
        self.iteration = state["iteration"]


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    """The precision that a recipe computes in."""
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, recipe.precision))


def check_finite(terms: Mapping[str, float], iteration: int) -> None:
    """Stop at a loss, the sum of ``terms``, that is not a number.

    Raises:
        GtaError: with the iteration and each term.
    """
    if math.isfinite(sum(terms.values())):
        return
    said = ", ".join(f"{name} {term:g}" for name, term in terms.items())
    raise GtaError(f"the loss is not finite at iteration {iteration} ({said}); {REMEDY}")


def _values(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    stacked = torch.stack([scalar.detach().float() for scalar in scalars.values()])
    return dict(zip(scalars, stacked.tolist(), strict=True))
