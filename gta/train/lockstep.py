"""Lockstep training: runs that see the same batches take each iteration together.

A batch is read and augmented once, mixed once for each way of mixing, and read by each source
once; then every run takes its own step on it. That changes no number of any run: models share
nothing, and what they share is what each would have computed alone.

Where a recipe sets ``micro_batch``, images go through source and models in parts of that size, and
the runs of a source hold their gradients until the last part.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.batches.loader import Loader, loader_workers
from gta.data.batches.poison import Poison
from gta.data.batches.sampler import BatchStream
from gta.data.seeds import Stream, derive
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.methods import Readings
from gta.models.taps import read_source_each
from gta.study import Run, Study
from gta.study.sharing import source_key
from gta.train.evaluate import evaluate_each
from gta.train.failures import Failures
from gta.train.learner import Learner
from gta.train.microbatch import micro_batches
from gta.train.mixing import Mixed
from gta.train.precision import arithmetic

Key = TypeVar("Key", bound=Hashable)

Progress = Callable[[Run, int, int], None]
"""Called as ``progress(run, iterations_done, iterations_in_all)``."""


class SharedBatches:
    """The images of runs whose ``gta.study.sharing.batch_key`` is equal.

    Attributes:
        store: the dataset.
        subset: its images that are trained on, tested on, and held out.
        evaluator: how test images are brought to the model.
        heldout_every: iterations between two looks at the held-out images; 0 for never.
        device: where batches go.
        loader: makes the batches; close it when training ends.
    """

    def __init__(self, study: Study, run: Run, store: Store, device: torch.device) -> None:
        """Set up for ``run`` and all runs that share its batches.

        Raises:
            GtaError: there is no training or no test image, the published lists do not fit, or a
                backdoor's target is no class of the dataset.
        """
        recipe = study.recipe(run)
        self.store, self.device, self._seed = store, device, run.seed
        self.subset = subset_of(study, run, store)
        self.evaluator = Evaluator(recipe)
        self.heldout_every = study.config.heldout_every if self.subset.heldout.size else 0
        augmenter, (threads, ahead) = Augmenter(recipe, run.seed), loader_workers(device)
        train = self.subset.train
        batch, repeats = recipe.batch_size, recipe.repeated_augmentation
        poison = Poison.of(recipe, store, train)
        self.loader = Loader(
            store, train, augmenter, batch, threads, ahead, device, repeats=repeats, poison=poison
        )

        self._unlabelled = BatchStream(
            max(1, len(self.subset.unlabelled)), batch, derive(run.seed, Stream.UNLABELLED, 0)
        )
        self._augmenter = Augmenter(recipe, derive(run.seed, Stream.UNLABELLED, 1))

    def unlabelled(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Views as in tests and augmented ones, (batch, 3, H, W), of images that the rate leaves.

        Raises:
            GtaError: none is left that is not held out.
        """
        left = self.subset.unlabelled
        if not left.size:
            raise GtaError(
                "no training image is left to train on without its label",
                remedy="lower the rate or split.heldout, or leave the method out",
            )
        images = self.store.images(left[self._unlabelled.batch(iteration)])
        plain, augmented = self.evaluator(images), self._augmenter(images, iteration)
        return plain.to(self.device), augmented.to(self.device)

    def mixing(self, iteration: int) -> torch.Generator:
        """The source of randomness for mixing this iteration's batch."""
        return torch.Generator().manual_seed(derive(self._seed, Stream.MIXING, iteration))


def train_together(
    learners: Iterable[Learner],
    batches: SharedBatches,
    failed: Callable[[Run, GtaError], None],
    progress: Progress | None = None,
    between: Callable[[Sequence[Learner]], None] | None = None,
) -> list[Learner]:
    """Train learners to their end, each iteration together; they may start at different ones.

    Args:
        learners: of runs that share these batches.
        batches: their batches.
        failed: called with a run that fails; the others continue.
        progress: called after each iteration of each run.
        between: called after each iteration with the learners that have not failed.

    Returns:
        The learners that did not fail.
    """
    alive = list(learners)
    while behind := [learner for learner in alive if not learner.finished]:
        iteration = min(learner.iteration for learner in behind)
        due = [learner for learner in behind if learner.iteration == iteration]
        begin, before = time.perf_counter(), {learner: learner.seconds for learner in due}
        failures = Failures(iteration)
        _iterate(due, batches, iteration, failures)
        due = failures.others(due)
        _watch(due, batches, failures)
        due, alive = failures.others(due), failures.others(alive)
        for learner, error in failures.errors.items():
            failed(learner.run, error)
        # Shared time counts in equal parts, so that the seconds of all add up to the clock's.
        own = sum(learner.seconds - before[learner] for learner in due)
        shared = time.perf_counter() - begin - own
        for learner in due:
            learner.seconds += shared / len(due)
            if progress is not None:
                progress(learner.run, learner.iteration, learner.recipe.iterations)
        if between is not None:
            between(alive)
    return alive


def _iterate(
    due: Sequence[Learner], batches: SharedBatches, iteration: int, failures: Failures
) -> None:
    """Run one iteration of every learner in ``due``; ``failures`` collects those that fail."""
    with failures.of(due):
        images, labels = batches.loader.batch(iteration)
    due = failures.others(due)
    if using := [learner for learner in due if learner.uses_unlabelled]:
        with failures.of(using):
            views = batches.unlabelled(iteration)
            for learner in using:
                learner.unlabelled = views
        due = failures.others(due)
    for mix, members in _grouped(due, lambda learner: learner.mix).items():
        with failures.of(members):
            mixed = mix(images, labels, batches.mixing(iteration))
        # A learner that ran out of memory is still at this iteration, with half the micro-batch.
        while waiting := [
            learner for learner in failures.others(members) if learner.iteration == iteration
        ]:
            for group in _grouped(waiting, _source_pass).values():
                take_step(group, mixed, failures)


def take_step(group: Sequence[Learner], batch: Mixed, failures: Failures) -> None:
    """Run one step of learners that share a source forward pass; failing learners are skipped.

    Args:
        group: learners of one source, precision and micro-batch, at the same iteration.
        batch: the batch, as their ``mix`` made it.
        failures: takes those that fail.
    """
    parts = micro_batches(len(batch.images), group[0].micro_batch)
    readings: dict[Learner, Readings] = {}
    for learner in group:
        with failures.of([learner], may_halve=True):
            learner.begin(batch, parts)
    for part in parts:
        group = failures.in_step(group)
        with failures.of(group, may_halve=True):
            readings = _read_source(group, batch.images[part])
        for learner in failures.in_step(group):
            with failures.of([learner], may_halve=True):
                learner.add(part, readings.get(learner))
            if part is parts[-1] and learner in failures.in_step([learner]):
                with failures.of([learner]):
                    learner.finish()
        readings = {}  # they may be large: free them before the next part's are made
    failures.end_step()


def step_alone(learner: Learner, batch: Mixed) -> None:
    """Run one step of one learner; errors are raised.

    Raises:
        GtaError: as ``Learner.begin``, ``add`` and ``finish``.
    """
    parts = micro_batches(len(batch.images), learner.micro_batch)
    learner.begin(batch, parts)
    for part in parts:
        learner.add(part, _read_source([learner], batch.images[part]).get(learner))
    learner.finish()


def _source_pass(learner: Learner) -> Hashable:
    """Fields that must match for learners to share a source's forward pass."""
    return source_key(learner.run, learner.recipe), learner.micro_batch


def _read_source(group: Sequence[Learner], images: Tensor) -> dict[Learner, Readings]:
    """Readings of the source for each learner of a group that uses some."""
    requests = {one: one.source_taps for one in group if one.source_taps is not None}
    if not requests:
        return {}
    first = group[0]
    with arithmetic(first.recipe, first.device):
        found = read_source_each(first.source.model, images, requests.values())
    return {learner: found[request] for learner, request in requests.items()}


def _watch(learners: Sequence[Learner], batches: SharedBatches, failures: Failures) -> None:
    """Add held-out accuracy and attention mass to the last row of history when they are due."""
    every = batches.heldout_every
    watched = [one for one in learners if every and one.iteration % every == 0]
    for learner in watched:
        with failures.of([learner]):
            learner.history  # noqa: B018 - a loss that is not finite ends the run here
    watched = failures.others(watched)
    if not watched:
        return
    with failures.of(watched):
        found = evaluate_each(
            [learner.model for learner in watched],
            [learner.recipe for learner in watched],
            batches.store,
            batches.subset.heldout,
            batches.evaluator,
            batches.device,
        )
        for learner, said in zip(watched, found, strict=True):
            learner.history[-1]["heldout_acc1"] = said.acc1
            learner.history[-1]["heldout_attention_mass"] = said.attention_mass


def _grouped(
    learners: Iterable[Learner], key: Callable[[Learner], Key]
) -> dict[Key, list[Learner]]:
    groups: dict[Key, list[Learner]] = defaultdict(list)
    for learner in learners:
        groups[key(learner)].append(learner)
    return groups
