"""A training job: which runs are done, which train together, and what failed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from gta import results
from gta.data.store import Store
from gta.errors import GtaError
from gta.files import holder_of
from gta.models.sources import Prepared
from gta.results.writers import sole_writer
from gta.study import Run, RunFiles, Study
from gta.study.room import require_room
from gta.study.sharing import batch_key
from gta.train import checkpoint
from gta.train.checkpoint import CheckpointWriter
from gta.train.device import describe, pick_device, reset_peak_memory
from gta.train.evaluate import Evaluated, evaluate_each
from gta.train.failures import as_gta_error
from gta.train.inputs import SourceWeights, open_source, open_store
from gta.train.learner import Learner
from gta.train.lockstep import Progress, SharedBatches, train_together
from gta.train.pace import Pace
from gta.train.record import record
from gta.train.signals import Signals, Stopped, say

# Weights and moments of the runs that train together. The limit does not depend on the machine's
# free memory, so it is known beforehand what a job needs: this, and what one run alone would need.
MOST_BYTES = 6 * 2**30
MOST_RUNS = 64  # beyond, the shared part of the work is small


def train_runs(
    study: Study,
    runs: Iterable[Run],
    device: str = "auto",
    progress: Progress | None = None,
) -> None:
    """Train runs, those that see the same batches in lockstep; valid results are left alone.

    A run that fails, by whatever error, leaves its reason beside its earlier results and does not
    stop the others. An interrupted run resumes from its checkpoint.

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
    say(describe(where))
    runs = list(dict.fromkeys(runs))
    stores = {name: open_store(study, name) for name in dict.fromkeys(r.dataset for r in runs)}
    sources = {name: open_source(study, name) for name in dict.fromkeys(r.source for r in runs)}
    origins = {r: results.Origin(stores[r.dataset].digest, sources[r.source].digest) for r in runs}
    files = {run: study.run_files(run) for run in runs}
    job = _Job(study, files, where, sources, origins, progress)
    try:
        todo = [run for run in runs if not job.is_done(run)]
        if warning := require_room(study, todo):
            say(f"warning: {warning}")
        for group in lockstep_groups(study, todo):
            job.train(group, stores[group[0].dataset])
    except Stopped as stopped:
        say(f"stopped by {stopped.signal.name}; the next attempt resumes from the checkpoints")
        raise
    if job.failed:
        first = next(run for run in runs if run in job.failed)
        raise GtaError(
            f"{len(job.failed)} run(s) failed; the first, {study.title(first)}: {job.failed[first]}"
        )


def lockstep_groups(study: Study, runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Divide runs into those that train together: they share batches and fit in memory.

    Runs that start from the head of another run come last.
    """
    sharing: dict[Any, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: study.head_run(run) is not None):  # stable
        later = study.head_run(run) is not None
        sharing[later, batch_key(run, study.recipe(run))].append(run)
    for members in sharing.values():
        group: list[Run] = []
        room = MOST_BYTES
        for run in members:
            # the source's file holds as many bytes as the weights; AdamW's moments, twice as many
            needed = 3 * study.weights(run.source).stat().st_size
            if group and (needed > room or len(group) == MOST_RUNS):
                yield group
                group, room = [], MOST_BYTES
            group.append(run)
            room -= needed
        yield group


@dataclass
class _Job:
    """The common part of a job's lockstep groups, and why runs failed."""

    study: Study
    files: Mapping[Run, RunFiles]
    device: torch.device
    sources: Mapping[str, Prepared]
    origins: Mapping[Run, results.Origin]
    progress: Progress | None
    signals: Signals = field(default_factory=Signals)
    failed: dict[Run, str] = field(default_factory=dict)
    done: set[Run] = field(default_factory=set)

    def is_done(self, run: Run) -> bool:
        """Whether a run's results are valid; if so, their time tells Snakemake of the check."""
        if not results.is_valid(self.files[run], self.origins[run]):
            return False
        self.files[run].metrics.touch()
        self._settle(run)
        return True

    def train(self, group: Sequence[Run], store: Store) -> None:
        """Train and test runs that share batches, and write their results.

        Raises:
            Stopped: a signal has come; checkpoints are written.
        """
        with ExitStack() as held:
            for run in sorted(group):  # in one order everywhere: no two jobs wait for each other
                try:
                    held.enter_context(sole_writer(self.files[run], partial(self._say_wait, run)))
                except GtaError as error:  # nothing is known of the runs: no note of a failure
                    self.failed |= {one: str(error) for one in group}
                    return
                checkpoint.sweep(self.files[run])
                if (damage := results.set_aside(self.files[run])) is not None:
                    say(f"warning: {damage}; training starts again")
            todo = [run for run in group if not self.is_done(run)]  # the other job may have ended
            # From here on there is something to keep; until then, signals kill.
            with self.signals, self._failing(todo):
                self.signals.check()  # one may have come as the group before wrote its results
                if todo:
                    self._train(todo, store)

    def _train(self, runs: Sequence[Run], store: Store) -> None:
        reset_peak_memory(self.device)
        batches = SharedBatches(self.study, runs[0], store, self.device)
        writer = CheckpointWriter(self.study, self.origins, self.signals)
        learners = self._learners(runs, len(store.classes), writer)
        begin = time.perf_counter()
        pace = Pace()

        def between(alive: Sequence[Learner]) -> None:
            pace(alive)
            writer(alive)

        with batches.loader:
            learners = train_together(learners, batches, self._fail, self.progress, between)
        _say_wait(batches.loader.waited, time.perf_counter() - begin)
        if learners:
            self._finish(learners, batches, writer)

    def _learners(
        self, runs: Sequence[Run], classes: int, writer: CheckpointWriter
    ) -> list[Learner]:
        """The runs' learners, at their start or where they were interrupted."""
        sources: dict[tuple[str, str, int], SourceWeights] = {}
        learners = []
        for run in runs:
            recipe, prepared = self.study.recipe(run), self.sources[run.source]
            key = run.source, recipe.architecture, recipe.image_size
            source = sources.setdefault(key, SourceWeights(prepared, recipe, self.device))
            with self._failing([run]):
                learner = Learner.of(self.study, run, classes, source, self.device)
                writer.restore(learner)
                learners.append(learner)
        return learners

    def _finish(
        self, learners: Sequence[Learner], batches: SharedBatches, writer: CheckpointWriter
    ) -> None:
        """Test trained models, each batch of images made once, and write their results."""
        after_batch = partial(writer, learners)
        try:
            tested = _test(learners, batches, after_batch)
        except Exception as error:  # of one run, maybe: the others are tested without it
            if len(learners) == 1:
                self._fail(learners[0].run, as_gta_error(error, "test"))
                return
            for learner in learners:
                self._finish([learner], batches, writer)
            return
        for learner, (test, heldout) in zip(learners, tested, strict=True):
            run = learner.run
            with self._failing([run]):
                record(self.files[run], learner, batches.subset, test, heldout, self.origins[run])
                self._settle(run)

    def _say_wait(self, run: Run) -> None:
        holder = holder_of(self.files[run].lock)
        say(f"{self.study.title(run)}: waiting for the job that trains it, {holder}")

    def _settle(self, run: Run) -> None:
        """Remove checkpoint and failure note of a run whose results are valid."""
        self.done.add(run)
        checkpoint.discard(self.files[run])
        with suppress(OSError):  # there is no note, or no folder for one
            self.files[run].failure.unlink()

    @contextmanager
    def _failing(self, runs: Iterable[Run]) -> Iterator[None]:
        """Note an error of the block as one of these runs, unless they are done or failed."""
        try:
            yield
        except Exception as error:
            reason = as_gta_error(error, "training")
            for run in runs:
                if run not in self.done and run not in self.failed:
                    self._fail(run, reason)

    def _fail(self, run: Run, error: GtaError) -> None:
        self.failed[run] = str(error)
        try:
            results.note_failure(self.files[run], error, self.origins[run])
        except GtaError as unwritten:  # a full disk must not end the other runs
            say(f"warning: {unwritten}; {self.study.title(run)} failed: {error}")


def _test(
    learners: Sequence[Learner], batches: SharedBatches, after_batch: Callable[[], None]
) -> list[tuple[Evaluated, Evaluated | None]]:
    """Results on the test images, and on the held-out ones if there are any."""
    look = partial(
        evaluate_each,
        [learner.model for learner in learners],
        [learner.recipe for learner in learners],
        batches.store,
        evaluator=batches.evaluator,
        device=batches.device,
        after_batch=after_batch,
    )
    test = look(positions=batches.subset.test)
    heldout: Sequence[Evaluated | None] = [None] * len(learners)
    if batches.subset.heldout.size:
        heldout = look(positions=batches.subset.heldout, with_mass=False)
    return list(zip(test, heldout, strict=True))


def _say_wait(waited: float, seconds: float) -> None:
    """Log the share of the training time spent waiting for augmented images."""
    if waited:
        say(f"waited for images: {waited:.1f} s of {seconds:.1f} s ({waited / seconds:.1%})")
