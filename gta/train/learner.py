"""State of one run in training: model, optimiser, history, and its steps on given batches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gta.data.seeds import Stream, derive
from gta.methods import Method, Readings, Step, TapRequest, changes_model
from gta.models.cls_only import forward_of
from gta.models.sources import load_backbone
from gta.models.taps import Taps
from gta.models.vit import create, initialise_head
from gta.study import Recipe, Run, Study
from gta.train.compiled import CompiledForward, compiled_forward
from gta.train.history import History, Scalars
from gta.train.inputs import SourceWeights, trained_head
from gta.train.loss import FeaturePenalty, Objective, features_of
from gta.train.microbatch import DropPaths
from gta.train.mixing import MIXES, Mixed
from gta.train.precision import arithmetic, float32_products
from gta.train.schedule import build_optimiser, learning_rate

if TYPE_CHECKING:
    pass


class Learner:
    """A run in training.

    An iteration is ``begin``, ``add`` for each micro-batch, ``finish``. No random state is carried
    from one iteration to the next: every draw follows from the run's seed and the iteration, so
    model, optimiser and loss scaler are all there is to save.

    Attributes:
        run: its identity.
        recipe: its settings.
        mix: how its batches are mixed.
        source: the weights it starts from.
        model: its model, on the device.
        micro_batch: largest number of images in one forward and backward pass.
        iteration: iterations done, which is the index of the next.
        seconds: time spent on training it.
        unlabelled: two views of this iteration's images without labels, where its method needs it.
    """

    @classmethod
    def of(
        cls, study: Study, run: Run, classes: int, source: SourceWeights, device: torch.device
    ) -> Learner:
        """The learner of a study's run, at its start.

        Raises:
            GtaError: the source does not fit the model, or the head that the run starts from is
                not there.
        """
        method = study.methods.create(run.method, run.tuned)
        head = trained_head(study, run)
        return cls(run, study.recipe(run), method, classes, source, device, head)

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        method: Method,
        classes: int,
        source: SourceWeights,
        device: torch.device,
        head: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Build the model at its start.

        Args:
            run: its identity; mix, lambda and seed are taken from it.
            recipe: its settings.
            method: its method, with settings.
            classes: outputs of the head.
            source: the weights to start from.
            device: where it trains.
            head: the head's weights by name, to start from; None for random ones.

        Raises:
            GtaError: the source does not fit the model.
        """
        self.run, self.recipe, self.source, self.device = run, recipe, source, device
        mixing, settings = recipe.mixing(run.mix)
        self.mix = MIXES[mixing](**settings)
        self._method = method
        self._objective = Objective(self.mix, recipe.label_smoothing, method, run.lam)
        self.model = create(recipe.architecture, recipe.image_size, classes, recipe.drop_path)
        load_backbone(self.model, source.weights, source.path)
        initialise_head(self.model, recipe.head_init_std, run.seed)
        if head is not None:
            self.model.load_state_dict(head, strict=False)
        method.prepare(self.model, derive(run.seed, Stream.METHOD, 0))
        self._paths = DropPaths(self.model)
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.model.to(memory_format=self._layout).to(device).train()
        self._optimiser = build_optimiser(self.model, method, recipe)
        self._scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        request = (method.taps or TapRequest()) | (self.mix.taps or TapRequest())
        self._taps = Taps(self.model, request)
        self._run_model = forward_of(self.model, request)
        self._compiled: CompiledForward | None = None
        self._tensors = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        if recipe.compile:
            self._compiled = compiled_forward(
                recipe.architecture,
                recipe.image_size,
                classes,
                recipe.drop_path,
                request,
                frozenset(name for name, p in self._tensors.items() if p.requires_grad),
                method if changes_model(method) else None,
            )
        most = recipe.micro_batch if isinstance(recipe.micro_batch, int) else recipe.batch_size
        self.micro_batch = min(most, recipe.batch_size)
        self.iteration = 0
        self.seconds = 0.0
        self.unlabelled: tuple[Tensor, Tensor] | None = None
        self._history = History(recipe.iterations)
        self._batch: Mixed | None = None
        self._ahead: FeaturePenalty | None = None
        self._terms: dict[str, Tensor] = {}
        self._correct: Tensor | float = 0.0

    @property
    def source_taps(self) -> TapRequest | None:
        """Readings of the frozen source that its method uses, None for none."""
        return self._method.source_taps

    @property
    def uses_unlabelled(self) -> bool:
        """Whether its method needs ``unlabelled`` in each iteration."""
        return self._method.unlabelled

    @property
    def finished(self) -> bool:
        """Whether all its iterations are done."""
        return self.iteration == self.recipe.iterations

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row per iteration done; waits for the device.

        Raises:
            GtaError: the loss of the last iteration is not finite.
        """
        return self._history.rows

    @property
    def last_loss(self) -> float | None:
        """Loss, penalty included, of the last iteration whose numbers have arrived."""
        row = self._history.last
        return None if row is None else row["cross_entropy"] + row["penalty"]

    @property
    def skipped(self) -> int | None:
        """Iterations that float16 skipped, for its gradients overflowed; None in other types."""
        return self._history.skipped if self._scaler.is_enabled() else None

    def begin(self, batch: Mixed, parts: Sequence[slice]) -> None:
        """Begin an iteration, or begin it again: the run does not change before ``finish``.

        A penalty over the features of all images is computed here if there are several
        micro-batches, in a forward pass without gradients.

        Args:
            batch: the batch of this iteration, as ``mix`` made it.
            parts: its images in the micro-batches that ``add`` will receive, in order.

        Raises:
            GtaError: the method's penalty cannot be computed.
        """
        begin = time.perf_counter()
        self.reset()
        self._batch = batch
        seed = derive(self.run.seed, Stream.DROP_PATH, self.iteration)
        self._paths.draw(len(batch.images), self.device, seed)
        if self._objective.needs_features and len(parts) > 1:
            with torch.no_grad():
                rows = [features_of(self._forward(batch, part, None)[1]) for part in parts]
            step = self._step(Readings(), None, None)
            self._ahead = self._objective.penalty_of_features(torch.cat(rows), step)
        self.seconds += time.perf_counter() - begin

    def add(self, part: slice, source: Readings | None) -> None:
        """Add the gradients of a micro-batch to those of the iteration.

        Args:
            part: its images in the batch.
            source: readings of the source that ``source_taps`` requests, on the same images.

        Raises:
            GtaError: the method's penalty cannot be computed.
        """
        begin, batch = time.perf_counter(), self._batch
        assert batch is not None
        logits, target = self._forward(batch, part, source)
        step = self._step(target, source, batch.images[part])
        if self.unlabelled is not None:
            plain, augmented = self.unlabelled
            step = replace(step, unlabelled=(plain[part], augmented[part]))
        with float32_products(self.recipe):
            loss = self._objective.loss(logits, batch, part, step, self._ahead)
            self._scaler.scale(loss.total).backward()
        for name, term in loss.terms.items():
            self._terms[name] = self._terms.get(name, 0.0) + term.detach()
        share = (part.stop - part.start) / len(batch.images)
        correct = (logits.argmax(1) == batch.labels[part]).float().mean()
        self._correct = self._correct + share * correct
        self.seconds += time.perf_counter() - begin

    def finish(self) -> None:
        """Update the weights once all micro-batches are added.

        Raises:
            GtaError: the loss is not finite. That of an iteration is looked at in the next one,
                that of the last iteration at once.
        """
        begin = time.perf_counter()
        lr = learning_rate(self.recipe, self.iteration)
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group["lr_multiple"]
        before = self._loss_scale()
        with self._method.updating(self.model, self.source.parameters, self.run.lam):
            self._scaler.step(self._optimiser)
        self._scaler.update()
        after = self._loss_scale()
        skipped = after < before if before is not None and after is not None else None
        scalars = Scalars(self._terms, torch.as_tensor(self._correct), skipped)
        self.reset()  # while other runs step, this one holds no gradients
        self._history.note(self.iteration, lr, scalars)
        self.iteration += 1
        if self.finished:
            self._history.settle()
        self.seconds += time.perf_counter() - begin

    def merge(self) -> None:
        """Make the trained model a plain ViT; no iteration and no ``state`` comes after."""
        self._method.merge(self.model)

    def reset(self) -> None:
        """Drop what was begun of an iteration, and its gradients."""
        self._batch = self._ahead = None
        self._terms, self._correct = {}, 0.0
        self._optimiser.zero_grad(set_to_none=True)

    def halve(self) -> bool:
        """Halve the micro-batch; return False if it is fixed by the recipe or already 1."""
        if self.recipe.micro_batch != "auto" or self.micro_batch == 1:
            return False
        self.micro_batch //= 2
        return True

    def _forward(
        self, batch: Mixed, part: slice, source: Readings | None
    ) -> tuple[Tensor, Readings]:
        """Logits (b, K) and readings of some images of a batch."""
        images = batch.images[part].contiguous(memory_format=self._layout)
        self._paths.choose(part)
        seed = derive(self.run.seed, Stream.METHOD, 1 + self.iteration)
        with arithmetic(self.recipe, self.device), self._taps as taps:
            logits = self._method.forward(self.model, images, source, seed)
            if logits is not None:
                return logits, taps.take()
        if self._compiled is not None:
            self._paths.choose(part, self._compiled.paths)
            with arithmetic(self.recipe, self.device):
                return self._compiled(self._tensors, images)
        with arithmetic(self.recipe, self.device), self._taps as taps:
            return self._run_model(images), taps.take()

    def _step(self, target: Readings, source: Readings | None, images: Tensor | None) -> Step:
        progress = self.iteration / self.recipe.iterations
        return Step(self.model, target, source, self.source.parameters, images, progress)

    def _loss_scale(self) -> Tensor | None:
        """The scale of float16's loss, on the device; None in other precisions."""
        if not self._scaler.is_enabled():
            return None
        return self._scaler.scale(torch.ones((), device=self.device))

    def state(self) -> dict[str, Any]:
        """All that the next iteration depends on, as ``restore`` takes it back.

        Raises:
            GtaError: the loss of the last iteration is not finite.
        """
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of the same run and recipe."""
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self._history = History(self.recipe.iterations, state["history"])
        self.seconds = state["seconds"]
        self.iteration = state["iteration"]
