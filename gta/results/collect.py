"""The metrics of all runs of a study in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.files import atomic_write
from gta.results.columns import IDENTITY
from gta.results.parts import read_table, schema
from gta.results.state import Origin, Result, State, result_of, with_failure
from gta.study import Run, Study

if TYPE_CHECKING:
    import pandas as pd

BATCH = 1024  # runs whose files are read before their rows become part of the table
THREADS = 4

Origins = Callable[[Run], Origin | None]


def collect_metrics(study: Study, origins: Origins) -> tuple[pa.Table, dict[Run, State]]:
    """Gather the metrics of all runs whose results are valid; nothing is written or renamed.

    Each run's files are read once. A run that lacks only the weights that the config keeps gives
    its row, and is among the missing too.

    Args:
        study: the study.
        origins: today's data and source of a run; None if they are not there to compare.

    Returns:
        The sorted table with identity as columns, and the runs that are not done with their state.
    """
    missing: dict[Run, State] = {}
    tables = []
    for runs in _batches(study.runs):
        rows = []
        for run, found in _results(study, runs, origins):
            if found.row is not None:
                rows.append({**vars(run), **found.row})
            if found.state.state != "done":
                missing[run] = with_failure(study, run, found.state)
        tables.append(pa.Table.from_pylist(rows, schema=_whole_schema()))
    return pa.concat_tables(tables), missing


def _results(study: Study, runs: Iterable[Run], origins: Origins) -> Iterator[tuple[Run, Result]]:
    """Each run's result, files read by a few threads: most of the time is waiting for the disk."""

    def look(run: Run) -> tuple[Run, Result]:
        return run, result_of(study, run, origins(run), thorough=True)

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
        raise GtaError("missing; run `snakemake` or `gta collect` first", where=path)
    wanted = [*IDENTITY.names, *columns] if columns else None
    try:
        table = read_table(path, wanted)
    except GtaError as error:
        raise error.with_remedy("delete it and run `snakemake`") from None
    return table.to_pandas()
