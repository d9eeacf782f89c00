"""From a study's files to its tables' files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gta import files, results
from gta.data.store import Store
from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study
from gta.study.run import IDENTITY, identity_of
from gta.tables.build import accuracy, statistics
from gta.tables.intervals import INTERVALS, read_intervals
from gta.tables.kinds.agreement import agreement, agreement_page
from gta.tables.kinds.gains import gains, gains_page
from gta.tables.kinds.optimism import optimism, optimism_page
from gta.tables.kinds.segmentation import segmentation, segmentation_page
from gta.tables.layout import Page, accuracy_page, statistics_page
from gta.tables.missing import UNCOLLECTED
from gta.tables.reference import read_reference
from gta.tables.render import to_html, to_latex, to_markdown
from gta.tables.selection import ACCURACIES, select

PAGES = {
    "accuracy": accuracy_page,
    "agreement": agreement_page,
    "gains": gains_page,
    "optimism": optimism_page,
    "segmentation": segmentation_page,
    "statistics": statistics_page,
}


@dataclass(frozen=True)
class Collected:
    """What all tables of a study are made of, read and chosen once.

    Attributes:
        metrics: identity and accuracies of each run that is done.
        selected: as ``gta.tables.select`` gives it.
        intervals: of the schema ``gta.tables.INTERVALS``, empty where none were computed.
        accuracies: the tables of accuracies made so far: that of agreement needs them all.
    """

    metrics: pd.DataFrame
    selected: pd.DataFrame
    intervals: pd.DataFrame
    accuracies: dict[str, pd.DataFrame] = field(default_factory=dict)


def read_all(study: Study) -> Collected:
    """Read what the study's runs have left, and choose every lambda.

    Raises:
        GtaError: if metrics are missing or damaged, or intervals damaged.
    """
    metrics = results.read_collected(study, *ACCURACIES, "attention_mass")
    selected = select(study, metrics, states_of_missing(study, metrics))
    intervals = read_intervals(study)
    kept = INTERVALS.empty_table() if intervals is None else intervals
    return Collected(metrics, selected, kept.to_pandas())


def make(study: Study, name: str, collected: Collected | None = None) -> tuple[pd.DataFrame, Page]:
    """Build a table from what the study's runs have left.

    Args:
        study: the study.
        name: of one of its tables.
        collected: as ``read_all`` gives it, where several tables are made; default: read now.

    Returns:
        The tidy frame, and the table as it is shown.

    Raises:
        GtaError: if a file that the table is made of is missing or damaged.
    """
    frame = _frame(study, name, collected)
    return frame, lay_out(study, name, frame)


def lay_out(study: Study, name: str, table: pd.DataFrame) -> Page:
    """A table as it is shown, of its tidy frame or some of its rows."""
    return PAGES[study.tables[name].kind](study, name, table)


def _frame(study: Study, name: str, collected: Collected | None) -> pd.DataFrame:
    kind = study.tables[name].kind
    if kind == "statistics":
        return statistics(study, name, _counts(study), read_reference(study, name))
    found = collected or read_all(study)
    if kind == "accuracy":
        return _accuracy(study, name, found)
    if kind == "gains":
        return gains(study, name, found.metrics, found.selected)
    if kind == "optimism":
        return optimism(study, name, found.metrics, found.selected)
    if kind == "agreement":
        names = [other for other, spec in study.tables.items() if spec.kind == "accuracy"]
        return agreement([_accuracy(study, other, found) for other in names])
    measured = _read_segmentation(study)
    return segmentation(study, name, found.selected, measured, read_reference(study, name))


def _accuracy(study: Study, name: str, found: Collected) -> pd.DataFrame:
    if name not in found.accuracies:
        found.accuracies[name] = accuracy(
            study, name, found.selected, read_reference(study, name), found.intervals
        )
    return found.accuracies[name]


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
        files.write_text(paths[-1], text)
    return paths


def states_of_missing(study: Study, metrics: pd.DataFrame) -> dict[Run, State]:
    """Why runs of the study are not among the collected metrics."""
    there = set(metrics[IDENTITY].itertuples(index=False, name=None))
    found: dict[Run, State] = {}
    for run in study.runs:
        if identity_of(run) not in there:
            state = results.state_of(study, run)
            found[run] = UNCOLLECTED if state.state == "done" else state
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
