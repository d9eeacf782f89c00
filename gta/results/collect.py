"""The metrics of all runs of a study in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.files import atomic_write
from gta.results.columns import IDENTITY, with_tuned
from gta.results.metrics import metric_columns
from gta.results.origins import Origin, origins_of
from gta.results.parts import DamagedError, ForbiddenError, MissingError, read_table, schema
from gta.results.state import Result, State, result_of, with_failure
from gta.study import RUN_FIELDS, Run, Study
from gta.study.run import CELL

if TYPE_CHECKING:
    import pandas as pd

BATCH = 1024  # runs whose files are read before their rows become part of the table
THREADS = 4
DIGESTS = ("recipe_digest", "data_digest", "source_digest")
CELL_AND_DIGESTS = [*CELL, "tuned", *DIGESTS]

Origins = Callable[[Run], Origin | None]


def collect_metrics(
    study: Study, origins: Origins, runs: Sequence[Run] | None = None
) -> tuple[pa.Table, dict[Run, State]]:
    """Gather the metrics of runs whose results are valid; nothing is written or renamed.

    Each run's files are read once. A run that lacks only the weights that the config keeps gives
    its row, and is among the missing too.

    Args:
        study: the study.
        origins: today's data and source of a run; None if they are not there to compare.
        runs: which; default all of the study.

    Returns:
        The sorted table with identity as columns, and the runs that are not done with their state.
    """
    missing: dict[Run, State] = {}
    tables = []
    for batch in _batches(study.runs if runs is None else runs):
        rows = []
        for run, found in _results(study, batch, origins):
            if found.row is not None:
                rows.append({**vars(run), **found.row})
            if found.state.state != "done":
                missing[run] = with_failure(study.run_files(run), found.state, origins(run))
        tables.append(pa.Table.from_pylist(rows, schema=_whole_schema()))
    return pa.concat_tables(tables), missing


def _results(study: Study, runs: Iterable[Run], origins: Origins) -> Iterator[tuple[Run, Result]]:
    """Each run's result, files read by a few threads: most of the time is waiting for the disk."""

    def look(run: Run) -> tuple[Run, Result]:
        return run, result_of(study.run_files(run), origins(run), thorough=True)

    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(look, runs)


def _batches(runs: Sequence[Run]) -> Iterator[Sequence[Run]]:
    return (runs[first : first + BATCH] for first in range(0, len(runs), BATCH))


def _whole_schema() -> pa.Schema:
    return pa.schema([*IDENTITY, *schema("metrics")])


def write_collected(study: Study, table: pa.Table) -> None:
    """Write ``metrics.parquet``, the study's name in its metadata."""
    table = table.replace_schema_metadata({"gta": json.dumps({"study": study.name})})
    with atomic_write(study.folder / "metrics.parquet") as hidden:
        pq.write_table(table, hidden, write_page_checksum=True)


def read_collected(study: Study, *columns: str) -> pd.DataFrame:
    """Read the valid rows of ``metrics.parquet`` as a frame, identity as columns.

    Rows that were made with other settings than the config's, or from another state of the data
    or the source, are left out, so that tables show them as missing.

    Args:
        study: the study.
        columns: of the metrics; default all. A few numbers of each run take a fraction of the
            memory.

    Raises:
        GtaError: it is missing or damaged, belongs to another study, or holds impossible values.
    """
    path = study.folder / "metrics.parquet"
    wanted = list(dict.fromkeys([*IDENTITY.names, *columns, *DIGESTS])) if columns else None
    try:
        table = with_tuned(read_table(path, wanted))
        _check(study, path, table)
    except MissingError as error:
        raise error.with_remedy("run `snakemake` or `gta collect` first") from None
    except ForbiddenError:
        raise
    except GtaError as error:
        raise error.with_remedy("delete it and run `snakemake` or `gta collect`") from None
    table = _without_stale(study, table)
    for column in metric_columns():  # one that the file is older than
        if column.name in columns and column.nullable and column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, column.type))
    return (table.select([*IDENTITY.names, *columns]) if columns else table).to_pandas()


def _check(study: Study, path: Path, table: pa.Table) -> None:
    """Check that a collected table is of this study, and its values possible."""
    try:
        owner = json.loads((table.schema.metadata or {}).get(b"gta", b"{}")).get("study")
    except (ValueError, AttributeError):
        owner = None
    if owner != study.name:
        whose = f"it belongs to study {owner!r}" if owner else "it does not say whose it is"
        raise DamagedError(f"not of study {study.name!r}: {whose}", where=path)
    import pyarrow.compute as pc  # a tenth of a second, which most commands do without

    for column in metric_columns():
        if column.name in table.column_names and pa.types.is_floating(column.type):
            ends = pc.min_max(table[column.name]).as_py()
            for value in ends.values():
                if value is not None and (fault := column.fault(value)) is not None:
                    raise DamagedError(fault, where=path)


def _without_stale(study: Study, table: pa.Table) -> pa.Table:
    """The rows whose digests are today's; the order is kept."""
    keys = table.select(CELL_AND_DIGESTS).group_by(CELL_AND_DIGESTS).aggregate([])
    origin = origins_of(study)
    alike = attrgetter(*CELL, "tuned")  # runs of one recipe
    cells = {alike(run): run for run in study.runs}

    def is_valid(row: dict[str, Any]) -> bool:
        run = cells.get(tuple(row[field] for field in [*CELL, "tuned"]))
        if run is None:  # of no cell of this study: whoever reads looks for the study's runs
            return True
        if row["recipe_digest"] != study.digest(run):
            return False
        today = origin(run)
        return today is None or today == Origin(row["data_digest"], row["source_digest"])

    rows = keys.to_pylist()
    valid = [row for row in rows if is_valid(row)]
    if len(valid) == len(rows):
        return table
    kept = pa.Table.from_pylist(valid, schema=keys.schema)
    joined = table.join(kept, keys=CELL_AND_DIGESTS, join_type="left semi")
    return joined.select(table.column_names).sort_by([(name, "ascending") for name in RUN_FIELDS])
