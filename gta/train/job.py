"""The job that trains a pack of runs: what is done, what shares batches, what went wrong."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gta import results
from gta.data.store import Store
from gta.errors import GtaError
from gta.results.writers import sole_writer
from gta.study import Run, Study, places
from gta.train import checkpoint
from gta.train.checkpoint import Keeper
from gta.train.device import pick_device, reset_peak_memory
from gta.train.evaluate import Evaluated, evaluate_each
from gta.train.inputs import open_source, open_store
from gta.train.learner import Learner, Start
from gta.train.lockstep import Feed, Progress, sharing, train_together
from gta.train.record import record
from gta.train.signals import Signals, Stopped, say

# Weights and moments of the runs that train together. A bound that no machine's free memory
# decides tells beforehand what a job needs: this, and what one run alone would need.
MOST_BYTES = 6 * 2**30
MOST_RUNS = 64  # beyond, what is shared is a small part of the work


def train_runs(
    study: Study,
    runs: Iterable[Run],
    device: str = "auto",
    progress: Progress | None = None,
) -> None:
    """Train runs, those that see the same batches in lock-step; valid results are left alone.

    A run that fails leaves its reason beside what it had before and does not stop the others.
    One that was interrupted goes on from its checkpoint.

    Args:
        study: the study.
        runs: which of its runs.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: called after each iteration of each run.

    Raises:
        GtaError: at the end, if a run failed; at once, if data or source cannot be opened.
        Stopped: SIGTERM or SIGUSR1 has come; checkpoints are written.
    """
    where = pick_device(device)
    runs = list(dict.fromkeys(runs))
    stores = {name: open_store(study, name) for name in dict.fromkeys(r.dataset for r in runs)}
    sources = {name: open_source(study, name) for name in dict.fromkeys(r.source for r in runs)}
    origins = {r: results.Origin(stores[r.dataset].digest, sources[r.source]) for r in runs}
    job = _Job(study, where, origins, progress)
    try:
        for crew in crews(study, [run for run in runs if not job.is_done(run)]):
            job.train(crew, stores[crew[0].dataset])
    except Stopped as stopped:
        say(f"stopped by {stopped.signal.name}; the next attempt goes on from the checkpoints")
        raise
    if job.failed:
        first = next(run for run in runs if run in job.failed)
        raise GtaError(
            f"{len(job.failed)} run(s) failed; the first, {study.title(first)}: {job.failed[first]}"
        )


def crews(study: Study, runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Divide runs into those that train together: they see the same batches and fit in memory."""
    alike: dict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        alike[sharing(study, run)].append(run)
    for members in alike.values():
        crew: list[Run] = []
        room = MOST_BYTES
        for run in members:
            # As many bytes as the source's file, twice more for AdamW's moments.
            needed = 3 * study.weights(run.source).stat().st_size
            if crew and (needed > room or len(crew) == MOST_RUNS):
                yield crew
                crew, room = [], MOST_BYTES
            crew.append(run)
            room -= needed
        yield crew


@dataclass
class _Job:
    """What the crews of a job have in common, and why runs failed."""

    study: Study
    device: torch.device
    origins: Mapping[Run, results.Origin]
    progress: Progress | None
    signals: Signals = field(default_factory=Signals)
    failed: dict[Run, str] = field(default_factory=dict)

    def is_done(self, run: Run) -> bool:
        """Whether a run's results are valid; if so, Snakemake is told that they were checked."""
        if not results.is_valid(self.study, run, self.origins[run]):
            return False
        self.study.path("metrics", run).touch()
        self._settle(run)
        return True

    def train(self, crew: Sequence[Run], store: Store) -> None:
        """Train and test runs that share batches, and write what they leave.

        Raises:
            Stopped: a signal has come; checkpoints are written.
        """
        with ExitStack() as held:
            for run in sorted(crew):  # in one order everywhere: no two jobs wait for each other
                wait = partial(say, f"{self.study.title(run)}: waiting for the job that trains it")
                held.enter_context(sole_writer(self.study, run, wait))
                checkpoint.sweep(self.study, run)
                if (damage := results.set_aside(self.study, run)) is not None:
                    say(f"warning: {damage}; training begins anew")
            todo = [run for run in crew if not self.is_done(run)]  # the other job may have ended
            # Only from here on is there something to keep: until then, signals kill.
            with self.signals, self._failing(todo):
                self.signals.check()  # one may have come as the crew before wrote its results
                if todo:
                    self._train(todo, store)

    def _train(self, runs: Sequence[Run], store: Store) -> None:
        reset_peak_memory(self.device)
        feed = Feed(self.study, runs[0], store, self.device)
        keeper = Keeper(self.study, self.origins, self.signals)
        learners = self._learners(runs, len(store.classes), keeper)
        begin = time.perf_counter()
        with feed.loader:
            learners = train_together(learners, feed, self._fail, self.progress, keeper)
        _say_wait(feed.loader.waited, time.perf_counter() - begin)
        if learners:
            with self._failing([learner.run for learner in learners]):
                self._finish(learners, feed, keeper)

    def _learners(self, runs: Sequence[Run], classes: int, keeper: Keeper) -> list[Learner]:
        """The runs' learners at their start or where they were interrupted."""
        starts: dict[tuple[Path, str], Start] = {}
        learners = []
        for run in runs:
            recipe, path = self.study.recipe(run), self.study.weights(run.source)
            start = starts.setdefault((path, recipe.architecture), Start(path, recipe, self.device))
            with self._failing([run]):
                learner = Learner(self.study, run, classes, start, self.device)
                keeper.restore(learner)
                learners.append(learner)
        return learners

    def _finish(self, learners: Sequence[Learner], feed: Feed, keeper: Keeper) -> None:
        """Test trained models, each batch of images made once, and write what they leave."""
        look = partial(
            evaluate_each,
            [learner.model for learner in learners],
            feed.store,
            evaluator=feed.evaluator,
            device=self.device,
            after_batch=lambda: keeper(learners),
        )
        subset = feed.subset
        test = look(positions=subset.test)
        heldout: Sequence[Evaluated | None] = [None] * len(learners)
        if subset.heldout.size:
            heldout = look(positions=subset.heldout, with_mass=False)
        for learner, of_test, of_heldout in zip(learners, test, heldout, strict=True):
            run = learner.run
            with self._failing([run]):
                record(self.study, learner, subset, of_test, of_heldout, self.origins[run])
                self._settle(run)

    def _settle(self, run: Run) -> None:
        """Remove what says that a run has failed or is under way; its results are valid."""
        checkpoint.discard(self.study, run)
        places.failure_path(self.study, run).unlink(missing_ok=True)

    @contextmanager
    def _failing(self, runs: Iterable[Run]) -> Iterator[None]:
        """An error that the block does not catch is one of these runs."""
        try:
            yield
        except GtaError as error:
            for run in runs:
                self._fail(run, error)

    def _fail(self, run: Run, error: GtaError) -> None:
        self.failed[run] = str(error)
        results.note_failure(self.study, run, error)


def _say_wait(waited: float, seconds: float) -> None:
    """What share of the time that training took it stood waiting for augmented images."""
    if waited:
        say(f"waited for images: {waited:.1f} s of {seconds:.1f} s ({waited / seconds:.1%})")
