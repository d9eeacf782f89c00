"""The state of each run, told from its files; nothing is written or renamed but by a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gta.errors import GtaError
from gta.files import is_held, is_there, put_away, write_text
from gta.results.origins import Origin
from gta.results.parts import (
    DamagedError,
    ForbiddenError,
    Kind,
    MissingError,
    OutdatedError,
    read_part,
    read_row,
)
from gta.results.weights import check_content, check_header
from gta.study import RunFiles

BESIDE: tuple[Kind, ...] = ("history", "predictions")  # of a run, beside its metrics
DIGEST = "recipe_digest: "  # the second line of a failure's note
ORIGIN = "data and source: "  # the third


@dataclass(frozen=True)
class State:
    """State of a run.

    Attributes:
        state: ``done``; ``missing`` (not run, or without the weights that the config keeps);
            ``stale`` (made with other settings, data or columns); ``damaged`` (cannot be read, or
            belongs to another run); ``forbidden`` (may not be read); or ``failed``.
        reason: one line, empty if done.
    """

    state: Literal["done", "missing", "stale", "damaged", "forbidden", "failed"]
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """A run's result.

    Attributes:
        state: where the run stands by its files alone.
        row: its metrics, if they are valid for today's settings and data, also if weights lack.
        damaged: files to set aside before the run is trained again.
    """

    state: State
    row: dict[str, Any] | None = None
    damaged: tuple[Path, ...] = ()


def state_of(run_files: RunFiles, origin: Origin | None = None) -> State:
    """State of a run.

    Args:
        run_files: the run's files.
        origin: today's data and source, if they are to be compared too.
    """
    return with_failure(run_files, result_of(run_files, origin).state, origin)


def is_valid(run_files: RunFiles, origin: Origin) -> bool:
    """Whether a run is done and all of its files, read through, are as they were written."""
    return result_of(run_files, origin, thorough=True).state.state == "done"


def with_failure(run_files: RunFiles, found: State, origin: Origin | None = None) -> State:
    """``found``, or why the last attempt to train a run that is not done ended."""
    if found.state in ("done", "forbidden"):
        return found
    failure, log = failure_of(run_files, origin), run_files.log
    if failure is not None and not is_held(run_files.lock):
        return State("failed", f"{failure}; log: {log}" if is_there(log) else failure)
    if found == NOT_RUN and is_there(log):  # what was killed, or crashed, left no failure
        reason = f"{NOT_RUN.reason}, or it was killed; log: {log}"
        last = _last_line(log)
        return State("missing", f"{reason}: {last}" if last else reason)
    return found


NOT_RUN = State("missing", "not run yet")


def result_of(
    run_files: RunFiles, origin: Origin | None = None, *, thorough: bool = False
) -> Result:
    """Read and judge a run's result.

    Args:
        run_files: the run's files.
        origin: today's data and source, if they are to be compared too.
        thorough: read history, predictions and kept weights through as well.
    """
    path = run_files.metrics
    try:
        row = read_row(run_files)
    except ForbiddenError as error:
        return Result(State("forbidden", error.fault))
    except DamagedError as error:
        return Result(State("damaged", error.fault), damaged=(path,))
    except OutdatedError as error:
        return Result(State("stale", error.fault))
    except MissingError:
        return Result(NOT_RUN)
    if row["recipe_digest"] != run_files.digest:
        return Result(State("stale", f"{path}: made with other settings than the config's"))
    if origin is not None and Origin(row["data_digest"], row["source_digest"]) != origin:
        reason = f"{path}: made from another state of the data or the source"
        return Result(State("stale", reason))
    if thorough and (found := _beside(run_files)) is not None:
        return found
    return Result(_state_of_weights(run_files, thorough), row)


def _beside(run_files: RunFiles) -> Result | None:
    """Fault of a run's history or predictions; None if they are valid or missing."""
    for kind in BESIDE:
        path = run_files.path(kind)
        try:
            read_part(run_files, kind)
        except MissingError:
            continue
        except ForbiddenError as error:
            return Result(State("forbidden", error.fault))
        except OutdatedError as error:
            return Result(State("stale", error.fault))
        except GtaError as error:
            return Result(State("damaged", error.fault), damaged=(path,))
    return None


def _state_of_weights(run_files: RunFiles, thorough: bool) -> State:
    if not run_files.keeps_weights:
        return State("done")
    path = run_files.weights
    try:
        check_header(run_files)
        if thorough:
            check_content(path)
    except MissingError:
        return State("missing", f"{path}: missing, and the config keeps it")
    except ForbiddenError as error:
        return State("forbidden", error.fault)
    except OutdatedError as error:
        return State("stale", error.fault)
    except GtaError as error:
        return State("damaged", error.fault)
    return State("done")


def note_failure(run_files: RunFiles, error: GtaError, origin: Origin | None = None) -> None:
    """Keep why a run failed, and with which settings, data and source.

    Raises:
        GtaError: the note cannot be written.
    """
    lines = [str(error), DIGEST + run_files.digest]
    if origin is not None:
        lines.append(f"{ORIGIN}{origin.data} {origin.source}")
    write_text(run_files.failure, "\n".join(lines) + "\n")


def failure_of(run_files: RunFiles, origin: Origin | None = None) -> str | None:
    """Error that ended the last attempt to train a run.

    None if it did not fail, or if settings, data or source have changed since.
    """
    try:
        if not run_files.failure.is_file():
            return None
        text = run_files.failure.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = text.strip().splitlines()
    today = {DIGEST: run_files.digest, ORIGIN: origin and f"{origin.data} {origin.source}"}
    for key in (ORIGIN, DIGEST):  # from the last line upwards
        if lines and lines[-1].startswith(key):
            then, now = lines.pop().removeprefix(key), today[key]
            if now is not None and then != now:
                return None
    return lines[-1] if lines else "it did not say why"


def _last_line(log: Path) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    except OSError:
        return ""
    return text.strip().rpartition("\n")[2]


def set_aside(run_files: RunFiles) -> str | None:
    """Rename the damaged files of a run that is to be trained, metrics included.

    Only a training job does so, while it holds the run's lock: a run without metrics is not done,
    whatever happens to the job.

    Returns:
        One line that names the damage; None if there is none.

    Raises:
        GtaError: a file may not be read or renamed.
    """
    found = result_of(run_files, thorough=True)
    if found.state.state == "forbidden":
        raise GtaError(found.state.reason, remedy="check its permissions")
    if found.state.state != "damaged":
        return None
    damaged = found.damaged or (run_files.weights,)
    for path in dict.fromkeys([*damaged, run_files.metrics]):
        put_away(path)
    return f"{found.state.reason}; set aside as {damaged[0].stem}.damaged{damaged[0].suffix}"
