"""Measurements that are kept in Parquet until something that they were made of changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gta.files import atomic_write

MADE_OF = b"made_of"


def read_kept(path: Path, key: str) -> list[dict[str, Any]] | None:
    """Rows that were kept, if they are there, whole, and made of the same.

    Args:
        path: of the file.
        key: digest of all that decides the rows.
    """
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException):
        return None
    same = (table.schema.metadata or {}).get(MADE_OF) == key.encode()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows if same else None


def keep(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, key: str) -> None:
    """Write rows for ``read_kept``, whole or not at all."""
    schema = schema.with_metadata({MADE_OF: key.encode()})
    with atomic_write(path) as hidden:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), hidden)
