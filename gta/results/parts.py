"""Parquet files of single runs: schemas, writing and typed reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.files import atomic_write
from gta.study import RUN_FIELDS, Run, Study

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
        ("heldout_attention_mass", pa.float64()),  # likewise; null where there are no masks
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


def write(study: Study, kind: Kind, run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's metrics (one row), history or predictions.

    A column that a row leaves out is null; one that the schema lacks is a programmer's error.
    """
    schema = SCHEMAS[kind]
    unknown = set().union(*rows) - set(schema.names)
    if unknown:
        raise ValueError(f"{kind} has no column {', '.join(sorted(unknown))}")
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata({RUN: run.name}))
    with atomic_write(study.path(kind, run)) as hidden:
        pq.write_table(table, hidden, write_page_checksum=True)


def read_part(study: Study, kind: Kind, run: Run) -> pa.Table:
    """Read one run's file, without its identity.

    Raises:
        GtaError: if it is missing, damaged, not of this version's schema, or another run's.
    """
    path = study.path(kind, run)
    table = read_table(path, "delete it and run it again")
    if not table.schema.equals(SCHEMAS[kind]):
        raise GtaError(f"{path}: has the columns of another version; run it again")
    # files that were written before it was noted do not say whose they are
    owner = (table.schema.metadata or {}).get(RUN.encode(), run.name.encode()).decode()
    if owner != run.name:
        raise GtaError(f"{path}: holds another run, {owner}; run it again")
    return table


def read_table(path: Path, remedy: str, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file with its checksums verified.

    Raises:
        GtaError: if it is missing, unreadable or damaged; the last ends with ``remedy``.
    """
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
