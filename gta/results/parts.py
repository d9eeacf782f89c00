"""Parquet files of single runs: atomic writing, and reading that is checked."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.files import atomic_write
from gta.results.columns import (
    HISTORY_COLUMNS,
    IDENTITY,
    PREDICTION_COLUMNS,
    Column,
    schema_of,
)
from gta.results.metrics import metric_columns
from gta.study import Run, RunFiles, Study

Kind = Literal["metrics", "history", "predictions"]

RUN = "run"  # key in a file's metadata: name of the run that it belongs to
SMALL = 2**20  # bytes of a file that is read at once

KINDS: tuple[Kind, ...] = ("metrics", "history", "predictions")


class MissingError(GtaError):
    """A file that is not there."""


class DamagedError(GtaError):
    """A file that cannot be read, belongs to another run, or holds impossible values."""


class OutdatedError(GtaError):
    """A file of another version, which lacks a column that this one needs."""


class ForbiddenError(GtaError):
    """A file that this user may not read."""


def columns_of(kind: Kind) -> tuple[Column, ...]:
    """The columns of a kind of file, without identity."""
    others = {"history": HISTORY_COLUMNS, "predictions": PREDICTION_COLUMNS}
    return metric_columns() if kind == "metrics" else others[kind]


def schema(kind: Kind) -> pa.Schema:
    """The Arrow schema of a kind of file, without identity."""
    return schema_of(columns_of(kind))


def write(run_files: RunFiles, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's metrics (one row), history or predictions.

    A column that a row leaves out is null.

    Raises:
        ValueError: a row has a column that is not declared (a programmer's error).
        GtaError: the file cannot be written.
    """
    columns = schema(kind)
    unknown = set().union(*rows) - set(columns.names)
    if unknown:
        raise ValueError(f"{kind} has no column {', '.join(sorted(unknown))}")
    owned = columns.with_metadata({RUN: run_files.run.name})
    table = pa.Table.from_pylist(list(rows), schema=owned)
    with atomic_write(run_files.path(kind)) as hidden:
        pq.write_table(table, hidden, write_page_checksum=True)


def read_part(run_files: RunFiles, kind: Kind) -> pa.Table:
    """Read one run's file, without its identity, in this version's columns.

    Nullable columns that an older file lacks are null; columns that a newer one adds are left out.

    Raises:
        DamagedError: it cannot be read, belongs to another run, or holds impossible values.
        OutdatedError: it lacks a column that is not nullable.
        ForbiddenError: it may not be read.
        MissingError: it is not there.
    """
    path = run_files.path(kind)
    table = read_table(path)
    owner = (table.schema.metadata or {}).get(RUN.encode())
    if owner is not None and owner != run_files.name.encode():
        other = owner.decode(errors="replace")
        raise DamagedError(f"belongs to another run, {other!r}", where=path)
    conformed = _conform(table, kind, path)
    if owner is None:
        raise DamagedError("does not say which run it belongs to", where=path)
    return conformed


def read_row(run_files: RunFiles) -> dict[str, Any]:
    """Read a run's row of metrics, its values checked.

    Raises:
        GtaError: as ``read_part``.
    """
    rows = read_part(run_files, "metrics").to_pylist()
    path = run_files.metrics
    if len(rows) != 1:
        raise DamagedError(f"has {len(rows)} rows in place of one", where=path)
    for column in metric_columns():
        if (fault := column.fault(rows[0][column.name])) is not None:
            raise DamagedError(fault, where=path)
    return rows[0]


def _conform(table: pa.Table, kind: Kind, path: Path) -> pa.Table:
    """``table`` with exactly the columns of its kind, in their order."""
    if table.schema.equals(schema(kind)):
        return table.replace_schema_metadata()
    arrays = []
    for column in columns_of(kind):
        position = table.schema.get_field_index(column.name)
        if position >= 0:
            arrays.append(_as_type(table.column(position), column, path))
        elif column.nullable:
            arrays.append(pa.nulls(table.num_rows, column.type))
        else:
            raise OutdatedError(f"written by another version: lacks {column.name}", where=path)
    return pa.table(arrays, schema=schema(kind))


def _as_type(array: pa.ChunkedArray, column: Column, path: Path) -> pa.ChunkedArray:
    if array.type == column.type:
        return array
    if decoded(array.type) != decoded(column.type):
        raise DamagedError(f"{column.name} is {array.type}, not {column.type}", where=path)
    # Some versions of pyarrow read dictionary<int8> back with wider indices.
    return array.cast(decoded(column.type)).cast(column.type)


def decoded(kind: pa.DataType) -> pa.DataType:
    """A type, or that of a dictionary's values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file with its checksums verified.

    Raises:
        DamagedError: it is not a regular file, or not Parquet as it was written.
        ForbiddenError: it may not be read.
        MissingError: it is not there.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would block the reader
            raise DamagedError("damaged: not a regular file", where=path)
        # A run's file takes a third less time in one read and without Arrow's threads.
        small = about.st_size <= SMALL
        source = pa.BufferReader(path.read_bytes()) if small else path
        # ParquetFile, not read_table, which would add the path's `key=value` parts
        with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=not small) as file:
            table = file.read(columns, use_threads=not small)
        table.validate(full=True)
    except FileNotFoundError:
        raise MissingError("missing", where=path) from None
    except PermissionError:
        raise ForbiddenError("cannot be read: Permission denied", where=path) from None
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"damaged: {' '.join(str(error).split())}", where=path) from None
    return table


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
        with_identity(read_part(study.run_files(run), kind), run)
        for run in (study.runs if runs is None else runs)
    ]
    whole = pa.schema([*IDENTITY, *schema(kind)])
    return pa.concat_tables(parts) if parts else whole.empty_table()


def with_identity(table: pa.Table, run: Run) -> pa.Table:
    """A run's table with its identity as the first columns."""
    columns = [
        pa.array([getattr(run, field)] * table.num_rows, IDENTITY.field(field).type)
        for field in IDENTITY.names
    ]
    return pa.table([*columns, *table.columns], schema=pa.schema([*IDENTITY, *table.schema]))
