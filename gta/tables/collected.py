"""Inputs of tables: a study's files, each read once, when first needed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gta import results
from gta.data.store import Store
from gta.errors import GtaError
from gta.results import State
from gta.results.imports import ImportedFrom, imported_runs
from gta.study import Run, Study
from gta.tables.intervals import INTERVALS, read_intervals
from gta.tables.kinds import TableKind
from gta.tables.missing import UNCOLLECTED
from gta.tables.other_study import open_reference, reference_cells
from gta.tables.reference import read_reference
from gta.tables.selection import ACCURACIES, gather, select


class Collected:
    """Results of the runs of a study.

    Attributes:
        study: whose.
    """

    def __init__(self, study: Study, **given: Any) -> None:
        """Read nothing yet.

        Args:
            study: the study.
            given: attributes that are known already, such as ``metrics``.
        """
        self.study = study
        self._frames: dict[str, pd.DataFrame] = {}
        self.__dict__.update(given)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Identity, accuracies, attention mass and what else tables ask for, of each done run.

        Raises:
            GtaError: if they are missing or damaged.
        """
        asked = [name for table in self.study.tables for name in self.study.kind(table).metrics]
        wanted = dict.fromkeys([*ACCURACIES, "attention_mass", *asked])
        return results.read_collected(self.study, *wanted)

    @cached_property
    def states(self) -> dict[Run, State]:
        """Reasons why runs are missing from the metrics."""
        return states_of_missing(self.study, self.metrics)

    @cached_property
    def imported(self) -> dict[Run, ImportedFrom]:
        """The runs that came from another machine in an archive, and from which."""
        return imported_runs(self.study)

    @cached_property
    def selected(self) -> pd.DataFrame:
        """Lambda and accuracy of each cell, as ``gta.tables.select`` returns them."""
        return select(self.study, self.metrics, self.states)

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """Intervals of gains, of the schema ``INTERVALS``; empty where none were computed.

        Raises:
            GtaError: if they are damaged.
        """
        found = read_intervals(self.study)
        return (INTERVALS.empty_table() if found is None else found).to_pandas()

    @cached_property
    def segmentation(self) -> pd.DataFrame:
        """Measures of masks from attention, of the schema ``gta.attention.SEGMENTATION``.

        Raises:
            GtaError: if they are missing or damaged.
        """
        return self._measured("segmentation")

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """Tests on corrupted images, of the schema ``gta.robustness.ROBUSTNESS``.

        Raises:
            GtaError: if they are missing or damaged.
        """
        return self._measured("robustness")

    @cached_property
    def averages(self) -> pd.DataFrame:
        """Tests of averaged weights, of the schema ``gta.averages.AVERAGES``.

        Raises:
            GtaError: if they are missing or damaged.
        """
        return self._measured("averages")

    @cached_property
    def backdoor(self) -> pd.DataFrame:
        """Tests on images with a trigger, of the schema ``gta.robustness.BACKDOOR``.

        Raises:
            GtaError: if they are missing or damaged.
        """
        return self._measured("backdoor")

    def _measured(self, what: str) -> pd.DataFrame:
        path = self.study.folder / f"{what}.parquet"
        try:
            return pq.ParquetFile(path).read().to_pandas()
        except FileNotFoundError:
            raise GtaError(f"{path}: missing; `gta {what}` makes it") from None
        except (OSError, pa.ArrowException) as error:
            raise GtaError(f"{path}: damaged: {error}; delete it and run `snakemake`") from None

    @cached_property
    def counts(self) -> list[dict[str, Any]]:
        """Classes and images of each dataset that is prepared."""
        counts = []
        for dataset in self.study.config.datasets:
            folder = self.study.store(dataset)
            if (folder / "store.json").exists():
                store = Store(folder)
                row: dict[str, Any] = {"dataset": dataset, "classes": len(store.classes)}
                for split in ("train", "test"):
                    row[f"{split}_images"] = np.sum(store.splits == split)
                counts.append(row)
        return counts

    def reference(self, name: str) -> pd.DataFrame | None:
        """The paper's numbers for a table; None where its stanza names none.

        Raises:
            GtaError: if the file cannot be read.
        """
        return read_reference(self.study, name)

    @cached_property
    def reference_cells(self) -> pd.DataFrame:
        """The cells of the study that stands in place of the paper.

        Raises:
            GtaError: if it cannot be read.
        """
        other = open_reference(self.study)
        return reference_cells(self.study, other, Collected(other).selected)

    def frame(self, name: str) -> pd.DataFrame:
        """The tidy frame of a table, computed once.

        Raises:
            GtaError: if a file that it is made of is missing or damaged.
        """
        if name not in self._frames:
            self._frames[name] = table_kind(self.study, name).frame(self.study, name, self)
        return self._frames[name]


def table_kind(study: Study, name: str) -> TableKind:
    """The kind of a table."""
    kind = study.kind(name)
    assert isinstance(kind, TableKind)
    return kind


def states_of_missing(study: Study, metrics: pd.DataFrame) -> dict[Run, State]:
    """Reasons why runs are missing from the collected metrics."""
    done = gather(study.runs, metrics)["done"]
    found: dict[Run, State] = {}
    for position in (~done).to_numpy().nonzero()[0]:
        run = study.runs[position]
        state = results.state_of(study.run_files(run))
        found[run] = UNCOLLECTED if state.state == "done" else state
    return found
