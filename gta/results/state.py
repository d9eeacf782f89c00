"""The state of each run, told from its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from gta.errors import GtaError
from gta.files import put_away
from gta.results.parts import Kind, read_part
from gta.study import Run, Study
from gta.study.places import failure_path, log_path


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        state: ``done``, ``missing``, ``stale`` (made with other settings or data),
            ``damaged`` or ``failed``.
        reason: one line, empty where done.
    """

    state: Literal["done", "missing", "stale", "damaged", "failed"]
    reason: str = ""


@dataclass(frozen=True)
class Origin:
    """What a run starts from.

    Attributes:
        data: digest of the prepared data set.
        source: digest of the source's file.
    """

    data: str
    source: str


def state_of(study: Study, run: Run, origin: Origin | None = None) -> State:
    """Where a run stands, by its files alone.

    Args:
        study: the study.
        run: one of its runs.
        origin: today's data and source, where they are to be compared too.
    """
    found = _state_of_result(study, run, origin)
    if found.state == "done":
        return found
    failure, log = failure_of(study, run), log_path(study, run)
    if failure is not None:
        return State("failed", f"{failure}; log: {log}" if log.exists() else failure)
    if found.state == "missing" and log.exists():  # what was killed, or crashed, left no failure
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        reason = f"not run yet, or it was killed; log: {log}"
        return State("missing", f"{reason}: {last}" if last else reason)
    return found


def _state_of_result(study: Study, run: Run, origin: Origin | None) -> State:
    path = study.path("metrics", run)
    if not path.exists():
        return State("missing", "not run yet")
    try:
        row = read_part(study, "metrics", run).to_pylist()[0]
    except (GtaError, IndexError) as error:
        return State("damaged", str(error))
    if row["recipe_digest"] != study.digest(run):
        return State("stale", f"{path}: made with other settings than the config's")
    if origin is not None and Origin(row["data_digest"], row["source_digest"]) != origin:
        return State("stale", f"{path}: made from another state of the data or the source")
    if study.keeps_weights(run) and not study.path("models", run).exists():
        return State("damaged", f"{study.path('models', run)}: missing")
    return State("done")


def failure_of(study: Study, run: Run) -> str | None:
    """The last line of the error that a run's last attempt ended with, None where it did not."""
    try:
        return failure_path(study, run).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def set_aside(study: Study, run: Run) -> str | None:
    """Rename what is damaged of a run's results, so that the run is trained again.

    The run's metrics go too, for a run is done when they are there.

    Returns:
        One line that names the damage; None where there is none.

    Raises:
        GtaError: if a file cannot be read or renamed.
    """
    metrics = study.path("metrics", run)
    if not metrics.exists():
        return None
    kinds: tuple[Kind, ...] = ("history", "predictions", "metrics")
    there = [kind for kind in kinds if study.path(kind, run).exists()]
    for path in (study.path(kind, run) for kind in there):
        if not os.access(path, os.R_OK, effective_ids=True):  # which is no damage
            raise GtaError(f"{path}: cannot be read: Permission denied")
    found = _state_of_result(study, run, None)
    fault = found.reason if found.state == "damaged" else None
    broken = {metrics}
    for kind in there:
        try:
            read_part(study, kind, run)
        except GtaError as error:
            fault = str(error)
            broken.add(study.path(kind, run))
    if fault is None:
        return None
    for path in broken:
        put_away(path)
    return f"{fault.partition(';')[0]}; set aside as part.damaged.parquet"
