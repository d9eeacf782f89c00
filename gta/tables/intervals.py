"""Intervals of paired differences between cells, from the predictions on each test image.

Runs of one seed share subset, order, augmentation and head, and all runs of a dataset share its
test images, so two methods are compared image by image and seed by seed.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gta import files, results
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.run import CELL, IDENTITY, POINT, identity_of, point_of
from gta.tables.anova import LEVEL, two_way
from gta.tables.order import cells_of
from gta.tables.selection import select

BASELINE = "finetune"
# Part of what a kept interval is recognised by: raise it when the numbers change.
VERSION = 2

# Differences (percent) further apart are of other runs: one image in a million over 100 seeds.
SAME = 1e-6

GAIN = ["gain", "gain_low", "gain_high"]
OTHER = ["baseline_source", "baseline", "baseline_mix", "baseline_lam", "baseline_tuned"]

# A row for each pair of cells of one dataset and rate; gain and its ends in percent.
INTERVALS = pa.schema(
    [
        *(field for field in results.IDENTITY if field.name != "seed"),
        # the cell that it is compared with, at the same dataset and rate
        ("baseline_source", pa.string()),
        ("baseline", pa.string()),  # method
        ("baseline_mix", pa.string()),
        ("baseline_lam", pa.float64()),
        ("baseline_tuned", pa.string()),
        ("seeds", pa.int64()),
        ("images", pa.int64()),
        ("gain", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("freedom", pa.float64()),
        ("p", pa.float64()),  # two-sided, of no difference
        ("level", pa.float64()),
        ("made_of", pa.string()),  # digest of the predictions and of how they were compared
    ]
)


@dataclass(frozen=True)
class Pair:
    """Two cells of one dataset and rate, each at one point, with the same seeds in order."""

    runs: tuple[Run, ...]
    baseline: tuple[Run, ...]

    @property
    def all(self) -> tuple[Run, ...]:
        """The runs of both."""
        return self.runs + self.baseline


def pairs_of(study: Study, metrics: pd.DataFrame) -> list[Pair]:
    """Each cell and point with fine-tuning, at each of its own, on the same source and mix.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` returns them; cells that lack a seed there are
            left out.
    """
    whole = _whole(study, metrics)
    tuned = study.methods.points(BASELINE)
    pairs = []
    for (dataset, source, method, mix, rate, *_), runs in whole.items():
        if method == BASELINE:
            continue
        for point in tuned:
            baseline = whole.get((dataset, source, BASELINE, mix, rate, point.lam, point.tuned))
            if baseline is not None:
                pairs.append(Pair(runs, baseline))
    return pairs


def rivals_of(study: Study, metrics: pd.DataFrame, selected: pd.DataFrame) -> list[Pair]:
    """All pairs of cells that stand in one column of a table of accuracies, at their lambdas.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` returns them.
        selected: as ``gta.tables.select`` returns it.
    """
    whole = _whole(study, metrics)
    pairs: dict[tuple[Any, ...], Pair] = {}
    for name, spec in study.tables.items():
        if spec.kind != "accuracy":
            continue
        cells = cells_of(study, name).merge(selected, on=CELL).dropna(subset="lam")
        column = list(
            dict.fromkeys(["selection", "dataset", "rate", *compared_within(study, name)])
        )
        for _, rows in cells.groupby(column, sort=False):
            keys = sorted(rows[[*CELL, *POINT]].itertuples(index=False, name=None))
            for one, other in combinations(keys, 2):
                if one in whole and other in whole:
                    pairs[one, other] = Pair(whole[one], whole[other])
    return list(pairs.values())


def compared_within(study: Study, name: str) -> list[str]:
    """Fields of a cell that cells share which a table of accuracies compares with each other.

    Those of a column and its group, where a column is of one dataset and one rate; else those of
    a row; else dataset and rate: accuracies on different images have no best.
    """
    spec = study.tables[name]
    cells = cells_of(study, name)
    across = spec.columns or ["rate"]
    for fields in (across, spec.rows):
        shared = [*spec.groups, *fields]
        places = cells.groupby(shared) if shared else cells
        if (places[["dataset", "rate"]].nunique() == 1).to_numpy().all():
            return shared
    return ["dataset", "rate"]


def _whole(study: Study, metrics: pd.DataFrame) -> dict[tuple[Any, ...], tuple[Run, ...]]:
    """The runs of each cell and point that has all seeds."""
    there = set(metrics[IDENTITY].itertuples(index=False, name=None))
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in study.runs:
        if identity_of(run) in there:
            groups[point_of(run)].append(run)
    seeds = len(study.config.seeds)
    return {key: tuple(runs) for key, runs in groups.items() if len(runs) == seeds}


def compute_intervals(
    study: Study, metrics: pd.DataFrame, kept: pa.Table | None = None
) -> pa.Table:
    """Intervals of all gains over fine-tuning, and of all pairs within the columns of tables.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` returns them: which runs are done.
        kept: an earlier table: what was made of the same predictions is taken from it.

    Returns:
        A table of the schema ``INTERVALS``, in the order of the runs, gains first. Pairs of which
        a run or its predictions are missing are left out.

    Raises:
        GtaError: if predictions are damaged, or not on the same test images.
    """
    rivals = rivals_of(study, metrics, select(study, metrics))
    return measure_pairs(study, [*pairs_of(study, metrics), *rivals], kept)


def measure_pairs(study: Study, pairs: Sequence[Pair], kept: pa.Table | None = None) -> pa.Table:
    """Intervals of the differences of given pairs of cells, as ``compute_intervals``."""
    paths = {run: study.run_files(run).path("predictions") for pair in pairs for run in pair.all}
    digests = {run: files.file_digest(path) for run, path in paths.items() if path.exists()}
    keys = {pair: _key(pair, digests) for pair in pairs if digests.keys() >= set(pair.all)}
    rows = {row["made_of"]: row for row in (kept.to_pylist() if kept is not None else ())}
    todo: dict[str, list[Pair]] = defaultdict(list)
    for pair, key in keys.items():
        if key not in rows:
            todo[pair.runs[0].dataset].append(pair)
    for own in todo.values():
        right = _right(study, sorted({run for pair in own for run in pair.all}))
        rows |= {row["made_of"]: row for row in _measure(own, right, keys)}
    found = [{**rows[key], **_identity(pair)} for pair, key in keys.items()]
    return pa.Table.from_pylist(found, schema=INTERVALS)


def _key(pair: Pair, digests: Mapping[Run, str]) -> str:
    """Digest of all that decides an interval."""
    made_of = [VERSION, LEVEL, *(digests[run] for run in pair.all)]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _identity(pair: Pair) -> dict[str, Any]:
    run, other = pair.runs[0], pair.baseline[0]
    identity = {field: getattr(run, field) for field in IDENTITY if field != "seed"}
    values = (other.source, other.method, other.mix, other.lam, other.tuned)
    return {**identity, **dict(zip(OTHER, values, strict=True))}


def _right(study: Study, runs: Sequence[Run]) -> dict[Run, NDArray[np.int8]]:
    """Test images that each run classified correctly, in the order of the images."""
    right: dict[Run, NDArray[np.int8]] = {}
    images = None
    for run in runs:
        table = results.read_part(study.run_files(run), "predictions")
        test = table.filter(pc.equal(table["split"].cast(pa.string()), "test")).sort_by("index")
        index = test["index"].to_numpy()
        images = index if images is None else images
        if not np.array_equal(index, images):
            raise GtaError(
                f"not on the test images of {study.run_files(runs[0]).path('predictions')}",
                where=study.run_files(run).path("predictions"),
                remedy="delete the metrics of both runs and train them again",
            )
        answers = test["prediction"].to_numpy() == test["label"].to_numpy()
        right[run] = answers.astype(np.int8)
    return right


def _measure(
    pairs: Sequence[Pair], right: Mapping[Run, NDArray[np.int8]], keys: Mapping[Pair, str]
) -> Iterator[dict[str, Any]]:
    """A row for each pair, without its identity."""
    for pair in pairs:
        ours, baseline = (
            np.stack([right[run] for run in runs]) for runs in (pair.runs, pair.baseline)
        )
        mean, low, high, freedom, p = (float(part[0]) for part in two_way((ours - baseline)[None]))
        yield {
            "seeds": len(ours),
            "images": ours.shape[1],
            "gain": 100 * mean,
            "low": 100 * low,
            "high": 100 * high,
            "freedom": freedom,
            "p": p,
            "level": LEVEL,
            "made_of": keys[pair],
        }


def path_of(study: Study) -> Path:
    """The file that keeps a study's intervals."""
    return study.folder / "intervals.parquet"


def read_intervals(study: Study) -> pa.Table | None:
    """The intervals that were computed; None where there are none yet, or of another version."""
    try:
        table = pq.ParquetFile(path_of(study)).read()
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        fault = " ".join(str(error).split())
        raise GtaError(f"{path_of(study)}: damaged: {fault}; delete it") from None
    for column in ("tuned", "baseline_tuned"):  # which an older version lacks
        if column not in table.column_names:
            table = table.append_column(column, pa.array([""] * len(table), pa.string()))
    if set(table.column_names) != set(INTERVALS.names):
        return None
    table = table.select(INTERVALS.names).replace_schema_metadata()
    return table if table.schema.equals(INTERVALS) else None


def write_intervals(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/intervals.parquet``."""
    with files.atomic_write(path_of(study)) as hidden:
        pq.write_table(table, hidden)


def with_gains(
    table: pd.DataFrame, selected: pd.DataFrame, intervals: pd.DataFrame
) -> pd.DataFrame:
    """Add ``gain`` over fine-tuning, ``gain_low`` and ``gain_high`` to a frame of cells.

    The ends are NaN where there is no interval, or one of an earlier state of the runs: its gain
    is then not that of the cell.

    Args:
        table: selection, the cell, lam, acc1_mean.
        selected: as ``gta.tables.select`` returns it: where fine-tuning stands.
        intervals: of the schema ``INTERVALS``.
    """
    place = ["selection", *(field for field in CELL if field != "method")]
    tuned = selected.loc[selected["method"] == BASELINE, [*place, *POINT, "acc1_mean"]]
    names = {"acc1_mean": "baseline_mean", "lam": "baseline_lam", "tuned": "baseline_tuned"}
    tuned = tuned.rename(columns=names)
    same_place = (intervals["baseline_source"] == intervals["source"]) & (
        intervals["baseline_mix"] == intervals["mix"]
    )
    ends = intervals[same_place & (intervals["baseline"] == BASELINE)]
    pair = [*CELL, *POINT, "baseline_lam", "baseline_tuned"]
    ends = ends[[*pair, "gain", "low", "high"]].rename(columns={"gain": "kept"})
    ends = ends.drop_duplicates(pair)
    table = table.merge(tuned, on=place, how="left").merge(ends, on=pair, how="left")
    table["gain"] = table["acc1_mean"] - table["baseline_mean"]
    table.loc[table["method"] == BASELINE, "gain"] = nan
    same = (table["gain"] - table["kept"]).abs() < SAME
    return table.assign(gain_low=table["low"].where(same), gain_high=table["high"].where(same))
