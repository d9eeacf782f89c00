"""Lock-step training: runs that see the same batches take each iteration together.

A batch is read and augmented once, mixed once for each way of mixing, and read by each source
once; then every run takes its own step on it. That changes no number of any run: models share
nothing, and what they share is what each would have computed alone.

Where a recipe sets ``micro_batch``, images go through source and models in parts of that size, and
the runs of a source hold their gradients until the last part.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.batches.loader import Loader, loader_workers
from gta.data.seeds import Stream, derive
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.methods.readings import Readings
from gta.models.taps import read_source_each
from gta.study import Run, Study
from gta.train.evaluate import evaluate_each
from gta.train.learner import Learner, autocast
from gta.train.microbatch import micro_batches
from gta.train.mixing import Mixed
from gta.train.signals import say

Key = TypeVar("Key", bound=Hashable)

Progress = Callable[[Run, int, int], None]
"""Called as ``progress(run, iterations_done, iterations_in_all)``."""


def sharing(study: Study, run: Run) -> tuple[Any, ...]:
    """What runs must agree in to see the same batches and the same test images."""
    recipe = study.recipe(run)
    views = recipe.augment, recipe.evaluation, recipe.image_size, recipe.mean, recipe.std
    batches = recipe.batch_size, recipe.repeated_augmentation
    return run.dataset, run.rate, run.seed, batches, views


class Feed:
    """The images of runs whose ``sharing`` is equal.

    Attributes:
        store: the data set.
        subset: which of its images.
        evaluator: how test images are brought to the model.
        heldout_every: after how many iterations held-out images are classified; 0 for never.
        device: where batches go.
        loader: makes them; to be closed when training ends.
    """

    def __init__(self, study: Study, run: Run, store: Store, device: torch.device) -> None:
        """Set up for ``run`` and all that agree with it.

        Raises:
            GtaError: there is no training or no test image, or the published lists do not fit.
        """
        recipe = study.recipe(run)
        self.store, self.device, self._seed = store, device, run.seed
        self.subset = subset_of(study, run, store)
        self.evaluator = Evaluator(recipe)
        self.heldout_every = study.config.heldout_every if self.subset.heldout.size else 0
        augmenter, (threads, ahead) = Augmenter(recipe, run.seed), loader_workers(device)
        train = self.subset.train
        batch, repeats = recipe.batch_size, recipe.repeated_augmentation
        self.loader = Loader(
            store, train, augmenter, batch, threads, ahead, device, repeats=repeats
        )

    def mixing(self, iteration: int) -> torch.Generator:
        """The source of randomness for mixing this iteration's batch."""
        return torch.Generator().manual_seed(derive(self._seed, Stream.MIXING, iteration))


def train_together(
    learners: Iterable[Learner],
    feed: Feed,
    failed: Callable[[Run, GtaError], None],
    progress: Progress | None = None,
    between: Callable[[Sequence[Learner]], None] | None = None,
) -> list[Learner]:
    """Train learners to their end, each iteration together; they may start at different ones.

    Args:
        learners: of runs whose ``sharing`` is equal to that of ``feed``'s.
        feed: their batches.
        failed: told of a run that drops out; the others go on.
        progress: told of each iteration of each run.
        between: called after each iteration with the learners that have not failed.

    Returns:
        Those that did not fail.
    """
    alive = list(learners)
    while behind := [learner for learner in alive if not learner.finished]:
        iteration = min(learner.iteration for learner in behind)
        due = [learner for learner in behind if learner.iteration == iteration]
        begin, before = time.perf_counter(), {learner: learner.seconds for learner in due}
        dropped = _iterate(due, feed, iteration)
        for learner, error in dropped.items():
            failed(learner.run, error)
        alive = [learner for learner in alive if learner not in dropped]
        due = [learner for learner in due if learner not in dropped]
        _watch(due, feed)
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


def _iterate(due: Sequence[Learner], feed: Feed, iteration: int) -> dict[Learner, GtaError]:
    """Take one iteration with every learner in ``due``; tell which dropped out, and why."""
    dropped: dict[Learner, GtaError] = {}

    @contextmanager
    def dropping(concerned: Sequence[Learner], halving: bool = False) -> Iterator[None]:
        """Errors drop those concerned, or, of memory, let them try it with fewer images at once."""
        try:
            yield
        except GtaError as error:
            for learner in concerned:
                learner.forget()
                dropped[learner] = error
        except torch.OutOfMemoryError:
            for learner in concerned:
                learner.forget()
                if halving and learner.halve():
                    less = f"from here on in micro-batches of {learner.micro_batch}"
                    say(f"{learner.run.name}: out of memory at iteration {iteration}; {less}")
                else:
                    dropped[learner] = _exhausted(learner, iteration)

    with dropping(due):
        images, labels = feed.loader.batch(iteration)
        for mix, alike in _grouped(due, lambda learner: learner.mix).items():
            with dropping(alike):
                mixed = mix(images, labels, feed.mixing(iteration))
                # Once over, and again for those who must take fewer images at once.
                while left := [one for one in alike if _awaits(one, iteration, dropped)]:
                    for group in _grouped(left, _reading).values():
                        _step(group, mixed, dropping)
    return dropped


def _step(
    group: Sequence[Learner],
    mixed: Mixed,
    dropping: Callable[[Sequence[Learner], bool], AbstractContextManager[None]],
) -> None:
    """One step of learners whose ``_reading`` is equal; of those only that meet no error."""
    parts = micro_batches(len(mixed.images), group[0].micro_batch)
    ready = []
    for learner in group:
        with dropping([learner], True):
            learner.begin(mixed, parts)
            ready.append(learner)
    for part in parts:
        group, ready = ready, []
        with dropping(group, True):
            readings = _read_source(group, mixed.images[part])
            for learner in group:
                with dropping([learner], True):
                    learner.add(part, readings.get(learner))
                    ready.append(learner)
                if part is parts[-1] and learner in ready:
                    with dropping([learner], False):
                        learner.finish()
            del readings  # they may be large: not beside the next part's


def _awaits(learner: Learner, iteration: int, dropped: Container[Learner]) -> bool:
    return learner.iteration == iteration and learner not in dropped


def _exhausted(learner: Learner, iteration: int) -> GtaError:
    """What to say of a run that needs more memory than there is."""
    size, auto = learner.micro_batch, learner.recipe.micro_batch == "auto"
    remedy = "use a larger device or a smaller model" if auto else "set recipe.micro_batch: auto"
    images = "1 image" if size == 1 else f"{size} images"
    return GtaError(f"iteration {iteration}: out of memory with {images} at once; {remedy}")


def _reading(learner: Learner) -> Hashable:
    """What learners must agree in to share a source's forward pass."""
    return learner.start, learner.recipe.precision, learner.micro_batch


def _read_source(group: Sequence[Learner], images: Tensor) -> dict[Learner, Readings]:
    """What each learner of one source and precision reads from it, where it reads anything."""
    requests = {one: one.source_taps for one in group if one.source_taps is not None}
    if not requests:
        return {}
    first = group[0]
    with autocast(first.recipe, first.device):
        found = read_source_each(first.start.model, images, requests.values())
    return {learner: found[request] for learner, request in requests.items()}


def _watch(learners: Sequence[Learner], feed: Feed) -> None:
    """Add held-out accuracy and attention mass to the last row of history when they are due."""
    every = feed.heldout_every
    watched = [one for one in learners if every and one.iteration % every == 0]
    if not watched:
        return
    models = [learner.model for learner in watched]
    found = evaluate_each(models, feed.store, feed.subset.heldout, feed.evaluator, feed.device)
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
