"""What a run leaves behind: schemas, writing whole or not at all, typed reading."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.study import RUN_FIELDS, Run, Study

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["metrics", "history", "predictions"]

IDENTITY = pa.schema(
    [
        ("dataset", pa.string()),
        ("rate", pa.float64()),
        ("source", pa.string()),
        ("method", pa.string()),
        ("mix", pa.string()),
        ("lam", pa.float64()),
        ("seed", pa.int64()),
    ]
)

METRICS = pa.schema(
    [
        ("acc1", pa.float64()),  # top-1 on the test set at the last iteration, percent
        ("loss", pa.float64()),  # cross entropy on the test set, nats
        ("heldout_acc1", pa.float64()),  # percent; null where nothing is held out
        ("heldout_loss", pa.float64()),
        ("n_train", pa.int64()),
        ("n_test", pa.int64()),
        ("n_heldout", pa.int64()),
        ("iterations", pa.int64()),
        ("seconds", pa.float64()),  # of the training loop
        ("images_per_second", pa.float64()),  # training images
        ("peak_memory_mb", pa.float64()),  # of the process (CPU) or the device (GPU)
        ("device", pa.string()),
        ("precision", pa.string()),
        ("attention_mass", pa.float64()),  # share of [cls] attention on the object; else null
        ("recipe_digest", pa.string()),
        ("data_digest", pa.string()),
        ("source_digest", pa.string()),
        ("versions", pa.string()),  # JSON
        ("git_commit", pa.string()),
        ("finished_at", pa.timestamp("ms", tz="UTC")),  # Parquet has no coarser unit
    ]
)

HISTORY = pa.schema(
    [
        ("iteration", pa.int64()),
        ("lr", pa.float64()),
        ("cross_entropy", pa.float64()),
        ("penalty", pa.float64()),  # weighted, summed over the method's terms
        ("train_acc1", pa.float64()),  # of the batch, percent
        ("heldout_acc1", pa.float64()),  # percent; null but every `heldout_every` iterations
    ]
)

PREDICTIONS = pa.schema(
    [
        ("split", pa.dictionary(pa.int8(), pa.string())),  # test or heldout
        ("index", pa.int32()),  # of the image in the store
        ("label", pa.int16()),
        ("prediction", pa.int16()),
        ("confidence", pa.float32()),  # softmax of the predicted class
    ]
)

RUN = "run"  # in a file's metadata: the name of the run that it is of

SCHEMAS: dict[str, pa.Schema] = {
    "metrics": METRICS,
    "history": HISTORY,
    "predictions": PREDICTIONS,
}


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a hidden name beside ``path`` to write to; rename it when the block succeeds.

    A block that fails or a process that dies leaves ``path`` as it was.

    Raises:
        GtaError: if the folder cannot be written to or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise GtaError(f"{path}: cannot be written: {error.strerror}") from None
    hidden = Path(name)
    try:
        yield hidden
        hidden.chmod(0o666 & ~_UMASK)
        with hidden.open("rb") as file:
            os.fsync(file.fileno())
        hidden.replace(path)
    except OSError as error:
        raise GtaError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        hidden.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as hidden:
        hidden.write_text(text, encoding="utf-8")


def write(study: Study, kind: Kind, run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's metrics (one row), history or predictions.

    A column that a row leaves out is null; one that the schema lacks is a programmer's error.
    """
    schema = SCHEMAS[kind]
    unknown = set().union(*rows) - set(schema.names)
    if unknown:
        raise ValueError(f"{kind} has no column {', '.join(sorted(unknown))}")
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata({RUN: run.name}))
    with whole(study.path(kind, run)) as hidden:
        pq.write_table(table, hidden, write_page_checksum=True)


def read_part(study: Study, kind: Kind, run: Run) -> pa.Table:
    """Read one run's file, without its identity.

    Raises:
        GtaError: if it is missing, damaged, not of this version's schema, or another run's.
    """
    path = study.path(kind, run)
    table = _read_whole(path, "delete it and run it again")
    if not table.schema.equals(SCHEMAS[kind]):
        raise GtaError(f"{path}: has the columns of another version; run it again")
    # files that were written before it was noted do not say whose they are
    owner = (table.schema.metadata or {}).get(RUN.encode(), run.name.encode()).decode()
    if owner != run.name:
        raise GtaError(f"{path}: holds another run, {owner}; run it again")
    return table


def _read_whole(path: Path, remedy: str, columns: list[str] | None = None) -> pa.Table:
    try:
        # ParquetFile, not read_table: that one would add the path's `key=value` parts
        return pq.ParquetFile(path, page_checksum_verification=True).read(columns)
    except FileNotFoundError:
        raise GtaError(f"{path}: missing") from None
    except PermissionError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (OSError, pa.ArrowException) as error:
        fault = " ".join(str(error).split())
        raise GtaError(f"{path}: damaged: {fault}; {remedy}") from None


def read(study: Study, kind: Kind, runs: Iterable[Run] | None = None) -> pa.Table:
    """Read many runs' files as one table, identity first, in the order of the runs.

    Args:
        study: the study.
        kind: metrics, history or predictions.
        runs: which; default all of the study.

    Raises:
        GtaError: if one is missing or damaged.
    """
    parts = [
        _with_identity(read_part(study, kind, run), run)
        for run in (study.runs if runs is None else runs)
    ]
    schema = pa.schema([*IDENTITY, *SCHEMAS[kind]])
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _with_identity(table: pa.Table, run: Run) -> pa.Table:
    columns = [
        pa.array([getattr(run, field)] * table.num_rows, IDENTITY.field(field).type)
        for field in RUN_FIELDS
    ]
    return pa.table([*columns, *table.columns], schema=pa.schema([*IDENTITY, *table.schema]))


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        GtaError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror}") from None


def state(study: Study, run: Run, origin: Origin | None = None) -> State:
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


def failure_path(study: Study, run: Run) -> Path:
    """Where a failed run leaves the last line of its error."""
    return study.folder / "failures" / run.name / "error.txt"


def failure_of(study: Study, run: Run) -> str | None:
    """The last line of the error that a run's last attempt ended with, None where it did not."""
    try:
        return failure_path(study, run).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def log_path(study: Study, run: Run) -> Path:
    """Where Snakemake keeps what the last job said that trained a run."""
    pack = study.pack({field: run.text(field) for field in RUN_FIELDS})
    return study.folder / "logs" / "train" / f"{pack.name}.log"


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


def put_away(path: Path) -> Path:
    """Rename a damaged file ``*.damaged.*``, beside where it was, and tell where it is now.

    Raises:
        GtaError: if it cannot be renamed.
    """
    try:
        return path.replace(path.with_name(f"{path.stem}.damaged{path.suffix}"))
    except OSError as error:
        raise GtaError(f"{path}: is damaged and cannot be renamed: {error.strerror}") from None


def collect(
    study: Study, origins: Callable[[Run], Origin | None]
) -> tuple[pa.Table, dict[Run, State]]:
    """Gather the metrics of all runs that are done.

    Args:
        study: the study.
        origins: today's data and source of a run; None where they are not there to compare.

    Returns:
        The sorted table with identity as columns, and the runs that are not in it with
        their state.

    Raises:
        GtaError: if results are damaged; they are set aside then, and what was collected
            before is deleted, so that Snakemake trains their runs again.
    """
    damaged = [line for run in study.runs if (line := set_aside(study, run)) is not None]
    if damaged:
        # Snakemake looks for no input of what is there.
        (study.folder / "metrics.parquet").unlink(missing_ok=True)
        raise GtaError(
            f"{len(damaged):,} damaged result(s), to be made again by the next `snakemake`; "
            f"the first: {damaged[0]}"
        )
    holes: dict[Run, State] = {}
    done: list[Run] = []
    for run in study.runs:
        found = state(study, run, origins(run))
        if found.state == "done":
            done.append(run)
        else:
            holes[run] = found
    return read(study, "metrics", done), holes


def write_collected(study: Study, table: pa.Table) -> None:
    """Write ``metrics.parquet``, the study's name in its metadata."""
    table = table.replace_schema_metadata({"gta": json.dumps({"study": study.name})})
    with whole(study.folder / "metrics.parquet") as hidden:
        pq.write_table(table, hidden, write_page_checksum=True)


def read_collected(study: Study, *columns: str) -> pd.DataFrame:
    """Read ``metrics.parquet`` as a frame, identity as columns.

    Args:
        study: the study.
        columns: of the metrics; default all. A few numbers of each run take a fraction of the
            memory.

    Raises:
        GtaError: if it is missing or damaged.
    """
    path = study.folder / "metrics.parquet"
    if not path.exists():
        raise GtaError(f"{path}: missing; run `snakemake` or `gta collect` first")
    wanted = [*IDENTITY.names, *columns] if columns else None
    return _read_whole(path, "delete it and run `snakemake`", wanted).to_pandas()
