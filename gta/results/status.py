"""Progress of a study, read from its files alone; it may run on another machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from gta import results
from gta.files import is_held
from gta.study import Run, RunFiles, Study

Where = Literal["done", "running", "queued", "failed"]
WHERE: tuple[Where, ...] = ("done", "running", "queued", "failed")

RECENT = timedelta(hours=1)


@dataclass(frozen=True)
class Timing:
    """Timing of a finished run.

    Attributes:
        seconds: that its training took; runs that train together share them.
        images: that it trained on.
        finished: when it ended.
    """

    seconds: float
    images: int
    finished: datetime


@dataclass(frozen=True)
class Saved:
    """Progress of a run at its last checkpoint.

    Attributes:
        iteration: iterations done.
        seconds: that they took.
    """

    iteration: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        study: the study.
        at: when.
        where: every run of the study; one that is stale or damaged is queued.
        timings: of the runs that are done.
        reasons: why runs failed.
        saved: how far the runs are that are running.
    """

    study: Study
    at: datetime
    where: Mapping[Run, Where]
    timings: Mapping[Run, Timing]
    reasons: Mapping[Run, str]
    saved: Mapping[Run, Saved]

    def runs(self, where: Where) -> list[Run]:
        """The runs that stand there."""
        return [run for run, found in self.where.items() if found == where]

    @property
    def recent(self) -> int:
        """Runs that ended in the last hour."""
        return sum(timing.finished > self.at - RECENT for timing in self.timings.values())

    @property
    def jobs(self) -> int:
        """Training jobs under way."""
        packed = self.study.config.pack
        return len({_outside(run, packed) for run in self.runs("running")})

    @property
    def speed(self) -> float | None:
        """Images a second that a job trains on, by the runs that ended last.

        By those that are running before any has ended; None where nothing tells.
        """
        last = sorted(self.timings.values(), key=lambda timing: timing.finished)[-100:]
        pairs = [(one.images, one.seconds) for one in last] or [
            (one.iteration * self.study.recipe(run).batch_size, one.seconds)
            for run, one in self.saved.items()
        ]
        seconds = sum(seconds for _, seconds in pairs)
        return sum(images for images, _ in pairs) / seconds if seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds of training that are left, as one job would take; None where nothing tells.

        A run is taken to need as long an image as those with its source, method and mix that are
        done or have a checkpoint, or as all that do, where none of these does. Failed runs count:
        they are to be done.
        """
        alike: dict[Any, list[float]] = defaultdict(list)
        for run, timing in self.timings.items():
            alike[_kind(run)].append(timing.seconds / timing.images)
        for run, saved in self.saved.items():
            if saved.iteration:
                images = saved.iteration * self.study.recipe(run).batch_size
                alike[_kind(run)].append(saved.seconds / images)
        if not alike:
            return None
        any_run = fmean(second for members in alike.values() for second in members)
        left = 0.0
        for run, where in self.where.items():
            if where == "done":
                continue
            recipe = self.study.recipe(run)
            iterations = recipe.iterations - self.saved.get(run, Saved()).iteration
            an_image = fmean(alike[_kind(run)]) if _kind(run) in alike else any_run
            left += iterations * recipe.batch_size * an_image
        return left


class Monitor:
    """Looks at a study again and again, and reads no file twice that has not changed."""

    def __init__(self, study: Study, origins: Callable[[Run], results.Origin | None]) -> None:
        """Look at nothing yet.

        Args:
            study: the study.
            origins: today's data and source of a run; None where they are not there to compare.
        """
        self._study, self._origins = study, origins
        self._timings: dict[Run, tuple[int, Timing]] = {}  # by the metrics' time of change
        self._saved: dict[Run, tuple[int, Saved]] = {}  # by the checkpoint's

    def look(self) -> Snapshot:
        """The study as it stands now."""
        where: dict[Run, Where] = {}
        timings: dict[Run, Timing] = {}
        reasons: dict[Run, str] = {}
        saved: dict[Run, Saved] = {}
        for run in self._study.runs:
            run_files = self._study.run_files(run)
            timing = self._timing(run_files)
            if timing is not None:
                where[run], timings[run] = "done", timing
            elif is_held(run_files.lock):
                where[run], saved[run] = "running", self._last_saved(run_files)
            else:
                origin = self._origins(run)
                state = results.state_of(run_files, origin)
                where[run] = "failed" if state.state == "failed" else "queued"
                if state.state == "failed":
                    reasons[run] = results.failure_of(run_files, origin) or state.reason
        return Snapshot(self._study, datetime.now(UTC), where, timings, reasons, saved)

    def _timing(self, run_files: RunFiles) -> Timing | None:
        run, changed = run_files.run, _changed(run_files.metrics)
        if changed is None:
            return None
        if run not in self._timings or self._timings[run][0] != changed:
            self._timings.pop(run, None)
            if results.state_of(run_files, self._origins(run)).state != "done":
                return None
            row = results.read_part(run_files, "metrics").to_pylist()[0]
            images = row["iterations"] * self._study.recipe(run).batch_size
            self._timings[run] = changed, Timing(row["seconds"], images, row["finished_at"])
        return self._timings[run][1]

    def _last_saved(self, run_files: RunFiles) -> Saved:
        run, changed = run_files.run, _changed(run_files.progress)
        if changed is None:
            return Saved()
        if run not in self._saved or self._saved[run][0] != changed:
            self._saved[run] = changed, read_saved(run_files.progress)
        return self._saved[run][1]


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _outside(run: Run, packed: Iterable[str]) -> tuple[str, ...]:
    """Fields that a run shares with the others of its job."""
    return tuple(run.text(field) for field in vars(run) if field not in packed)


def _kind(run: Run) -> tuple[str, ...]:
    return run.source, run.method, run.mix


def read_saved(path: Path) -> Saved:
    """Progress of a run from the JSON file beside its checkpoint; none if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Saved(int(content["iteration"]), float(content["seconds"]))
    except (OSError, ValueError, TypeError, KeyError):  # it may be gone or damaged by now
        return Saved()
