"""One run's own part of training: model, optimiser, history, and steps on batches given to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gta.data.seeds import Stream, derive
from gta.methods.readings import Readings, TapRequest
from gta.models.sources import load_backbone, load_source, read_weights
from gta.models.taps import Taps
from gta.models.vit import create, initialise_head
from gta.study import Recipe, Run, Study
from gta.train.gradients import Gradients, Objective, check_finite, values_of
from gta.train.microbatch import DropPaths
from gta.train.mixing import MIXES, Mixed
from gta.train.schedule import build_optimiser, learning_rate

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


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
        micro_batch: most images whose gradients it takes at once.
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
        self._method = study.methods.create(run.method)
        mixing, settings = recipe.mixing(run.mix)
        self.mix = MIXES[mixing](**settings)
        self.model = create(recipe.architecture, recipe.image_size, classes, recipe.drop_path)
        load_backbone(self.model, start.weights, start.path)
        initialise_head(self.model, recipe.head_init_std, run.seed)
        self._paths = DropPaths(self.model)
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.model.to(memory_format=self._layout).to(device).train()
        self._forward = compiled(self.model) if recipe.compile else self.model
        self._optimiser = build_optimiser(self.model, self._method, recipe)
        half = recipe.precision == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=half)
        request = (self._method.taps or TapRequest()) | (self.mix.taps or TapRequest())
        self._taps = Taps(self.model, request) if request != TapRequest() else None
        self._objective = Objective(
            self.model,
            self._look,
            self.mix,
            recipe.label_smoothing,
            self._method,
            run.lam,
            lambda: start.parameters,
        )
        self._gradients: Gradients | None = None
        most = recipe.micro_batch if isinstance(recipe.micro_batch, int) else recipe.batch_size
        self.micro_batch = min(most, recipe.batch_size)
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
        """One iteration on the whole batch at once: ``begin``, ``add`` and ``finish``.

        Args:
            mixed: the batch of this iteration, as ``mix`` made it.
            source: what ``source_taps`` asks for, on the same images.

        Raises:
            GtaError: as ``begin``, ``add`` and ``finish``.
        """
        whole = slice(0, len(mixed.images))
        self.begin(mixed, [whole])
        self.add(whole, source)
        self.finish()

    def begin(self, mixed: Mixed, parts: Sequence[slice]) -> None:
        """Begin an iteration, or begin it anew: nothing of the run changes before ``finish``.

        Args:
            mixed: the batch of this iteration, as ``mix`` made it.
            parts: its images in the micro-batches that ``add`` will be given, in order.

        Raises:
            GtaError: the method's penalty cannot be computed.
        """
        begin = time.perf_counter()
        self.forget()
        seed = derive(self.run.seed, Stream.DROP_PATH, self.iteration)
        self._paths.draw(len(mixed.images), self.device, seed)
        self._gradients = Gradients(self._objective, mixed, parts, self.iteration)
        self.seconds += time.perf_counter() - begin

    def add(self, part: slice, source: Readings | None) -> None:
        """Add a micro-batch's share of the gradients.

        Args:
            part: which images of the batch.
            source: what ``source_taps`` asks for, on the same images.

        Raises:
            GtaError: the method's penalty cannot be computed.
        """
        begin = time.perf_counter()
        assert self._gradients is not None
        self._gradients.add(part, source, self._scaler)
        self.seconds += time.perf_counter() - begin

    def finish(self) -> None:
        """Update the weights once all is added: AdamW, cosine schedule.

        Raises:
            GtaError: if the loss is not finite, with the iteration and the terms of the loss.
        """
        begin, iteration = time.perf_counter(), self.iteration
        lr = learning_rate(self.recipe, iteration)
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group["lr_multiple"]
        self._scaler.step(self._optimiser)
        self._scaler.update()
        assert self._gradients is not None
        terms, accuracy = self._gradients.terms, self._gradients.accuracy
        # Not before the next iteration: while others step, this run holds no gradients.
        self.forget()
        # The one wait for the device in an iteration.
        values = values_of({**terms, "acc1": torch.as_tensor(accuracy)})
        acc1 = 100 * values.pop("acc1")
        check_finite(values, iteration)
        cross_entropy = values.pop("cross_entropy")
        self.history.append(
            {
                "iteration": iteration,
                "lr": lr,
                "cross_entropy": cross_entropy,
                "penalty": sum(values.values()),
                "train_acc1": acc1,
                "heldout_acc1": None,
            }
        )
        self.iteration += 1
        self.seconds += time.perf_counter() - begin

    def forget(self) -> None:
        """Drop what was begun of an iteration, and its gradients."""
        self._gradients = None
        self._optimiser.zero_grad(set_to_none=True)

    def halve(self) -> bool:
        """Take half as many images at once from now on; False where that must or can not be."""
        if self.recipe.micro_batch != "auto" or self.micro_batch == 1:
            return False
        self.micro_batch //= 2
        return True

    def _look(self, mixed: Mixed, part: slice) -> tuple[Tensor, Readings]:
        """Logits and readings of some images of a batch."""
        images = mixed.images[part].contiguous(memory_format=self._layout)
        self._paths.choose(part)
        with autocast(self.recipe, self.device), self._taps or nullcontext():
            logits = self._forward(images)
            return logits, self._taps.take() if self._taps is not None else Readings()

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


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model's forward pass, compiled; the model itself stays as it is.

    torch keeps compiled code with the function's code object and does not look at hooks, so that
    two models of one class would share it, and with it the taps of the first. Each model gets a
    code object of its own. One graph, so that nothing within is kept with timm's code; a size of
    batch that was not seen before is compiled anew.
    """

    def forward(images: Tensor) -> Tensor:
        return model(images)

    own = FunctionType(forward.__code__.replace(), forward.__globals__, closure=forward.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)
