"""Checkpoints, from which an interrupted run resumes.

A run's checkpoint is ``results/<study>/checkpoints/<run>/checkpoint.pt`` from the first interval
to the run's end: a plain ``torch.save`` file of tensors, numbers and text, written as a whole or
not at all. The checksums of its ZIP format reveal damage. ``checkpoint.json`` beside it says how
far the run is, for those who have no torch at hand.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from gta import files, results
from gta.errors import GtaError
from gta.study import Run, RunFiles, Study
from gta.train.learner import Learner
from gta.train.signals import Signals, say

FORMAT = 2


@dataclass(frozen=True)
class Identity:
    """Fields that must match before a run resumes from a checkpoint.

    Attributes:
        run: its name.
        recipe, data, source: digests, as in the row of metrics.
        torch: its version; another one may round differently.
        format: version of the checkpoint's format.
    """

    run: str
    recipe: str
    data: str
    source: str
    torch: str = str(torch.__version__)  # its own class is not plain text
    format: int = FORMAT

    @classmethod
    def of(cls, run_files: RunFiles, origin: results.Origin) -> Identity:
        """The identity of a run as it would be trained today."""
        return cls(run_files.run.name, run_files.digest, origin.data, origin.source)


def save(path: Path, identity: Identity, state: Mapping[str, Any]) -> None:
    """Write a learner's state, as a whole or not at all.

    Raises:
        GtaError: it cannot be written.
    """
    with files.atomic_write(path) as hidden:
        try:
            torch.save({"identity": asdict(identity), "state": state}, hidden)
        except RuntimeError as error:  # how torch reports a full disk
            reason = str(error).splitlines()[0]
            raise GtaError(f"{path}: cannot be written: {reason}") from None


def save_progress(path: Path, learner: Learner) -> None:
    """Write how far a run is, as JSON: iteration, iterations, seconds, updated.

    Raises:
        GtaError: it cannot be written.
    """
    progress = {
        "iteration": learner.iteration,
        "iterations": learner.recipe.iterations,
        "seconds": learner.seconds,
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files.write_text(path, json.dumps(progress) + "\n")


def load(path: Path, identity: Identity) -> dict[str, Any] | None:
    """Read a learner's state; None if there is none to resume from.

    A damaged file is renamed ``damaged.pt``; one of another recipe, dataset, source or version is
    deleted. Either is reported in one line on stderr.

    Raises:
        GtaError: the file is there, but may not be read.
    """
    if not path.exists():
        return None
    try:
        found, state = _read(path)
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zipfile and torch raise many kinds on damaged files
        path.replace(path.with_name("damaged.pt"))
        why = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        say(f"warning: {path}: damaged ({why}), set aside as damaged.pt; training starts again")
        return None
    if found != asdict(identity):
        path.unlink()
        say(f"{path}: of other settings, data, source or version: deleted; training starts again")
        return None
    return state


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Identity and state in a checkpoint; an error of some kind if it is damaged."""
    if not path.is_file():  # a pipe blocks its reader
        raise ValueError("is not a regular file")
    with zipfile.ZipFile(path) as file:
        broken = file.testzip()
    if broken is not None:
        raise ValueError(f"{broken} is not as it was written")
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content["identity"], content["state"]


def discard(run_files: RunFiles) -> None:
    """Remove the checkpoint of a run that has ended, and folders that are empty then."""
    folder = run_files.checkpoint.parent
    for file in (*folder.glob("*.pt"), *folder.glob("*.json")):
        file.unlink(missing_ok=True)
    for empty in (folder, *folder.parents):
        if empty == run_files.study_folder:
            return
        with suppress(OSError):  # it is not empty, or was never made
            empty.rmdir()


def sweep(run_files: RunFiles) -> None:
    """Remove the hidden files that a killed writer of a run left half-written."""
    results_of_run = map(run_files.path, ("metrics", "history", "predictions", "models"))
    for path in (*results_of_run, run_files.checkpoint, run_files.progress):
        for hidden in path.parent.glob(f".{path.stem}.*{path.suffix}"):
            hidden.unlink(missing_ok=True)


class CheckpointWriter:
    """Writes the checkpoints of learners that train together, at an interval and at a signal."""

    def __init__(
        self, study: Study, origins: Mapping[Run, results.Origin], signals: Signals
    ) -> None:
        """Start the clock.

        Args:
            study: the study, which gives the seconds between two rounds of writing.
            origins: today's data and source of the runs.
            signals: the signals to act on.
        """
        self._study, self._origins, self._signals = study, origins, signals
        self._last = time.monotonic()
        self._written: dict[Run, int] = {}  # the iteration that each checkpoint holds

    def restore(self, learner: Learner) -> None:
        """Resume a learner from its checkpoint, if there is one that fits."""
        run_files = self._study.run_files(learner.run)
        state = load(run_files.checkpoint, self._identity(run_files))
        if state is None:
            return
        learner.restore(state)
        self._written[learner.run] = learner.iteration
        say(f"{self._study.title(learner.run)}: resumes from iteration {learner.iteration}")

    def __call__(self, learners: Sequence[Learner]) -> None:
        """Write the checkpoints that are due.

        Raises:
            Stopped: a signal has come; the checkpoints are written.
        """
        ending = self._signals.received  # read once: the next one may come at any moment
        seconds = self._study.config.checkpoint_seconds
        if ending or time.monotonic() - self._last >= seconds:
            for learner in learners:
                self._write(learner)
            self._last = time.monotonic()
        if ending:
            self._signals.check()

    def _write(self, learner: Learner) -> None:
        if self._written.get(learner.run, 0) == learner.iteration:
            return
        run_files = self._study.run_files(learner.run)
        try:
            save(run_files.checkpoint, self._identity(run_files), learner.state())
            save_progress(run_files.progress, learner)
        except GtaError as error:  # the results, much smaller, may still find room
            say(f"warning: no checkpoint: {error}")
        else:
            self._written[learner.run] = learner.iteration

    def _identity(self, run_files: RunFiles) -> Identity:
        return Identity.of(run_files, self._origins[run_files.run])
