"""Setting results aside, so that their runs are trained again; nothing is deleted.

What is retired lies under ``results/<study>/retired/<time>`` as it lay under ``results/<study>``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from gta.errors import GtaError
from gta.files import is_held
from gta.study import Run, Study

# Of each run. Metrics come first when results go and last when they return: a run is done when,
# and only when, its metrics are there.
KINDS = ("metrics", "history", "predictions", "models", "checkpoints", "failures")


def retire(study: Study, runs: Iterable[Run]) -> Path:
    """Move all that runs have left into a new folder, which is returned; it is gone if empty.

    Raises:
        GtaError: if one is being trained now, or a file cannot be moved; then nothing is moved.
    """
    runs = list(runs)
    for run in runs:
        if is_held(study.run_files(run).lock):
            raise GtaError(f"{run.name} is being trained now; wait for its job, or cancel it")
    folder = _new_folder(study.folder / "retired")
    try:
        for kind in KINDS:
            for run in runs:
                _move(study.folder / kind / run.name, folder / kind / run.name)
    except OSError as error:
        restore(study, folder, runs)
        raise GtaError(
            f"{error.filename}: cannot be moved to {folder}: {error.strerror}; nothing was"
        ) from None
    prune(folder, study.folder)
    return folder


def restore(study: Study, folder: Path, runs: Iterable[Run]) -> list[Run]:
    """Move retired results back where no new ones have come; return the runs that have them.

    What an attempt to train such a run left half-done is replaced, but for its checkpoint and the
    reason why it failed. A run that is being trained now is left alone.

    Raises:
        GtaError: if a file cannot be moved; what is left in ``folder`` is named.
    """
    files = map(study.run_files, runs)
    back = [one.run for one in files if not one.metrics.exists() and not is_held(one.lock)]
    try:
        for kind in reversed(KINDS):
            for run in back:
                old, place = folder / kind / run.name, study.folder / kind / run.name
                if place.exists() and old.exists():
                    if kind in ("checkpoints", "failures"):
                        continue
                    shutil.rmtree(place)
                _move(old, place)
    except OSError as error:
        raise GtaError(
            f"{error.filename}: cannot be moved back: {error.strerror}; old results lie in {folder}"
        ) from None
    prune(folder, study.folder)
    return back


def prune(folder: Path, root: Path) -> None:
    """Remove folders that hold no file, from ``folder`` downwards and then up to ``root``."""
    for path, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            _remove_if_empty(Path(path, name))
    while folder != root and _remove_if_empty(folder):
        folder = folder.parent


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _new_folder(parent: Path) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in count():
        folder = parent / (f"{now}-{number}" if number else now)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise GtaError(f"{folder}: cannot be made: {error.strerror}") from None
        return folder
    raise AssertionError("unreachable")


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
