"""The metrics of all runs of a study in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from gta.errors import GtaError
from gta.files import atomic_write
from gta.results.parts import IDENTITY, read, read_table
from gta.results.state import Origin, State, set_aside, state_of
from gta.study import Run, Study

if TYPE_CHECKING:
    import pandas as pd


def collect_metrics(
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
        found = state_of(study, run, origins(run))
        if found.state == "done":
            done.append(run)
        else:
            holes[run] = found
    return read(study, "metrics", done), holes


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
        raise GtaError(f"{path}: missing; run `snakemake` or `gta collect` first")
    wanted = [*IDENTITY.names, *columns] if columns else None
    return read_table(path, "delete it and run `snakemake`", wanted).to_pandas()
