"""From a study's files to its tables' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gta import results
from gta.data.store import Store
from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study
from gta.tables.build import accuracy, read_reference, segmentation, statistics
from gta.tables.gains import gains, gains_page
from gta.tables.layout import Page, accuracy_page, segmentation_page, statistics_page
from gta.tables.render import to_html, to_latex, to_markdown
from gta.tables.selection import IDENTITY


def make(study: Study, name: str) -> tuple[pd.DataFrame, Page]:
    """Build a table from what the study's runs have left.

    Args:
        study: the study.
        name: of one of its tables.

    Returns:
        The tidy frame, and the table as it is shown.

    Raises:
        GtaError: if a file that the table is made of is missing or damaged.
    """
    kind = study.tables[name].kind
    reference = read_reference(study, name)
    if kind == "statistics":
        table = statistics(study, name, _counts(study), reference)
        return table, statistics_page(study, name, table)
    metrics = results.read_collected(study)
    states = states_of_missing(study, metrics)
    if kind == "accuracy":
        table = accuracy(study, name, metrics, reference, states)
        return table, accuracy_page(study, name, table)
    if kind == "gains":
        table = gains(study, name, metrics, states)
        return table, gains_page(study, name, table)
    measured = _read_segmentation(study)
    table = segmentation(study, name, metrics, measured, reference, states)
    return table, segmentation_page(study, name, table)


def write(study: Study, table: pd.DataFrame, page: Page) -> list[Path]:
    """Write ``results/<study>/tables/<table>.csv``, ``.md``, ``.tex`` and ``.html``."""
    folder = study.folder / "tables"
    texts = {
        "csv": table.to_csv(index=False),
        "md": to_markdown(page),
        "tex": to_latex(page),
        "html": to_html(page),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(folder / f"{page.name}.{ending}")
        results.write_text(paths[-1], text)
    return paths


def states_of_missing(study: Study, metrics: pd.DataFrame) -> dict[Run, State]:
    """Why runs of the study are not among the collected metrics."""
    there = set(metrics[IDENTITY].itertuples(index=False, name=None))
    found: dict[Run, State] = {}
    for run in study.runs:
        if tuple(getattr(run, field) for field in IDENTITY) not in there:
            state = results.state(study, run)
            late = State("missing", "done, but not collected yet")
            found[run] = late if state.state == "done" else state
    return found


def _counts(study: Study) -> list[dict[str, Any]]:
    """Classes and images of each data set that is prepared."""
    counts = []
    for dataset in study.config.datasets:
        folder = study.store(dataset)
        if (folder / "store.json").exists():
            store = Store(folder)
            row: dict[str, Any] = {"dataset": dataset, "classes": len(store.classes)}
            row |= {f"{split}_images": np.sum(store.splits == split) for split in ("train", "test")}
            counts.append(row)
    return counts


def _read_segmentation(study: Study) -> pd.DataFrame:
    path = study.folder / "segmentation.parquet"
    try:
        return pq.ParquetFile(path).read().to_pandas()
    except FileNotFoundError:
        raise GtaError(f"{path}: missing; `gta segmentation` makes it") from None
    except (OSError, pa.ArrowException) as error:
        raise GtaError(f"{path}: damaged: {error}; delete it and run `snakemake`") from None
