"""How sure a gain over fine-tuning is: paired bootstrap over test images and run seeds.

Runs of one seed share subset, order, augmentation and head, and all runs of a data set share its
test images, so a method's answers are held against fine-tuning's image by image and seed by seed.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from gta.study.run import CELL, IDENTITY, identity_of

BASELINE = "finetune"
LEVEL = 0.95
RESAMPLES = 9999
BATCH = 256  # resamples at a time: part of what the generator draws
BLOCK = 2**24  # most numbers that are resampled at a time, which bounds memory
# Part of what a kept interval is recognised by: raise it when the numbers come out otherwise.
VERSION = 1

# Gains (percent) further apart are of other runs: one image in a million over a hundred seeds.
SAME = 1e-6

GAIN = ["gain", "gain_low", "gain_high"]

# A row for each cell and lambda that is not fine-tuning's; gain and its ends in percent.
INTERVALS = pa.schema(
    [
        *(field for field in results.IDENTITY if field.name != "seed"),
        ("baseline", pa.string()),  # method
        ("seeds", pa.int64()),
        ("images", pa.int64()),
        ("gain", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("level", pa.float64()),
        ("resamples", pa.int64()),
        ("made_of", pa.string()),  # digest of the predictions and of how they were resampled
    ]
)


def bootstrap(differences: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile intervals of mean differences, images and seeds resampled independently.

    One resample draws seeds and images with replacement and takes the mean of the differences of
    every drawn seed on every drawn image (the two-way, or pigeonhole, bootstrap: Owen 2007). All
    cells are drawn alike. A single seed is not resampled; a single image leaves no interval.

    Args:
        differences: (C, S, N) for C cells, S seeds and N images: 1 where the method alone is
            right, -1 where the baseline alone is, else 0.

    Returns:
        Low and high ends, (C,) each, of the scale of the differences; NaN for a single image.
    """
    from scipy import stats  # half a second to import

    cells, seeds, images = differences.shape
    if images == 1:
        return np.full(cells, nan), np.full(cells, nan)
    flat = differences.reshape(cells * seeds, images).T.astype(np.float32)

    def mean(
        drawn: NDArray[np.integer], seeds_drawn: NDArray[np.integer] | None = None, axis: int = -1
    ) -> NDArray[np.float64]:
        """(R, N) and (R, S) indices to (C, R): sums of whole numbers, exact in float32."""
        sums = (_times(drawn, images) @ flat).reshape(len(drawn), cells, seeds)
        weights = np.ones((1, 1)) if seeds_drawn is None else _times(seeds_drawn, seeds)
        return np.einsum("rcs,rs->cr", sums, weights, dtype=np.float64) / (seeds * images)

    found = stats.bootstrap(
        [np.arange(size) for size in (images, seeds) if size > 1],
        mean,
        n_resamples=RESAMPLES,
        batch=BATCH,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return low, high


def _times(drawn: NDArray[np.integer], size: int) -> NDArray[np.float32]:
    """How often each of ``size`` indices stands in each row, (R, size)."""
    rows = len(drawn)
    shifted = drawn + size * np.arange(rows)[:, None]
    counts = np.bincount(shifted.ravel(), minlength=rows * size)
    return counts.reshape(rows, size).astype(np.float32)


@dataclass(frozen=True)
class Pair:
    """A cell at one lambda and fine-tuning's, each with all seeds in their order."""

    runs: tuple[Run, ...]
    baseline: tuple[Run, ...]

    @property
    def all(self) -> tuple[Run, ...]:
        """The runs of both."""
        return self.runs + self.baseline


def pairs_of(study: Study, metrics: pd.DataFrame) -> list[Pair]:
    """What can be held against fine-tuning: same data set, rate, source, mix; all seeds there.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` gives them.
    """
    there = set(metrics[IDENTITY].itertuples(index=False, name=None))
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in study.runs:
        if identity_of(run) in there:
            groups[run.dataset, run.rate, run.source, run.mix, run.method, run.lam].append(run)
    whole = {
        key: tuple(runs) for key, runs in groups.items() if len(runs) == len(study.config.seeds)
    }
    lam = study.grid(BASELINE)[0]
    pairs = []
    for (*place, method, _), runs in whole.items():
        baseline = whole.get((*place, BASELINE, lam))
        if method != BASELINE and baseline is not None:
            pairs.append(Pair(runs, baseline))
    return pairs


def compute_intervals(
    study: Study, metrics: pd.DataFrame, kept: pa.Table | None = None
) -> pa.Table:
    """Intervals for the gain of each cell and lambda over fine-tuning.

    Args:
        study: the study.
        metrics: as ``gta.results.read_collected`` gives them: which runs are done.
        kept: an earlier table: what was made of the same predictions is taken from it.

    Returns:
        A table of the schema ``INTERVALS``, in the order of the runs. Pairs of which a run or
        its predictions are missing are left out.

    Raises:
        GtaError: if predictions are damaged, or not on the same test images.
    """
    return measure_pairs(study, pairs_of(study, metrics), kept)


def measure_pairs(study: Study, pairs: Sequence[Pair], kept: pa.Table | None = None) -> pa.Table:
    """Intervals for the differences of given pairs of cells, as ``compute_intervals``."""
    paths = {run: study.path("predictions", run) for pair in pairs for run in pair.all}
    digests = {run: files.file_digest(path) for run, path in paths.items() if path.exists()}
    keys = {pair: _key(pair, digests) for pair in pairs if digests.keys() >= set(pair.all)}
    rows = {row["made_of"]: row for row in (kept.to_pylist() if kept is not None else ())}
    todo: dict[str, list[Pair]] = defaultdict(list)
    for pair, key in keys.items():
        if key not in rows:
            todo[pair.runs[0].dataset].append(pair)
    for own in todo.values():
        right = _right(study, sorted({run for pair in own for run in pair.all}))
        step = max(1, BLOCK // sum(len(right[run]) for run in own[0].runs))
        for start in range(0, len(own), step):
            block = own[start : start + step]
            rows |= {row["made_of"]: row for row in _measure(block, right, keys)}
    found = [{**rows[key], **_identity(pair)} for pair, key in keys.items()]
    return pa.Table.from_pylist(found, schema=INTERVALS)


def _key(pair: Pair, digests: Mapping[Run, str]) -> str:
    """Digest of all that decides an interval."""
    made_of = [VERSION, LEVEL, RESAMPLES, BATCH, *(digests[run] for run in pair.all)]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _identity(pair: Pair) -> dict[str, Any]:
    return {field: getattr(pair.runs[0], field) for field in IDENTITY if field != "seed"}


def _right(study: Study, runs: Sequence[Run]) -> dict[Run, NDArray[np.int8]]:
    """Which test images of a data set each run got right, in the order of the images."""
    right: dict[Run, NDArray[np.int8]] = {}
    images = None
    for run in runs:
        table = results.read_part(study, "predictions", run)
        test = table.filter(pc.equal(table["split"].cast(pa.string()), "test")).sort_by("index")
        index = test["index"].to_numpy()
        images = index if images is None else images
        if not np.array_equal(index, images):
            raise GtaError(
                f"{study.path('predictions', run)}: not on the test images of "
                f"{study.path('predictions', runs[0])}; delete the metrics of both runs and train "
                "them again"
            )
        answers = test["prediction"].to_numpy() == test["label"].to_numpy()
        right[run] = answers.astype(np.int8)
    return right


def _measure(
    pairs: Sequence[Pair], right: Mapping[Run, NDArray[np.int8]], keys: Mapping[Pair, str]
) -> Iterator[dict[str, Any]]:
    """A row for each pair, without its identity."""
    ours, baseline = (
        np.stack([[right[run] for run in getattr(pair, side)] for pair in pairs])
        for side in ("runs", "baseline")
    )
    differences = ours - baseline
    low, high = bootstrap(differences)
    for number, pair in enumerate(pairs):
        yield {
            "baseline": pair.baseline[0].method,
            "seeds": differences.shape[1],
            "images": differences.shape[2],
            "gain": 100 * differences[number].mean(),
            "low": 100 * low[number],
            "high": 100 * high[number],
            "level": LEVEL,
            "resamples": RESAMPLES,
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
    return table if table.schema.equals(INTERVALS) else None


def write_intervals(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/intervals.parquet``."""
    with files.atomic_write(path_of(study)) as hidden:
        pq.write_table(table, hidden)


def with_gains(
    table: pd.DataFrame, selected: pd.DataFrame, intervals: pd.DataFrame
) -> pd.DataFrame:
    """Add ``gain`` over fine-tuning, ``gain_low`` and ``gain_high`` to a frame of cells.

    The ends are NaN where there is no interval, or one that an earlier state of the runs left:
    its gain is not that of the cell.

    Args:
        table: selection, the cell, lam, acc1_mean.
        selected: as ``gta.tables.select`` gives it: where fine-tuning stands.
        intervals: of the schema ``INTERVALS``.
    """
    place = ["selection", *(field for field in CELL if field != "method")]
    tuned = selected.loc[selected["method"] == BASELINE, [*place, "acc1_mean"]]
    tuned = tuned.rename(columns={"acc1_mean": "baseline_mean"})
    ends = intervals[[*CELL, "lam", "gain", "low", "high"]].rename(columns={"gain": "kept"})
    table = table.merge(tuned, on=place, how="left").merge(ends, on=[*CELL, "lam"], how="left")
    table["gain"] = table["acc1_mean"] - table["baseline_mean"]
    table.loc[table["method"] == BASELINE, "gain"] = nan
    same = (table["gain"] - table["kept"]).abs() < SAME
    return table.assign(gain_low=table["low"].where(same), gain_high=table["high"].where(same))
