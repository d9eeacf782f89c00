"""Room on the disk for what a study's runs are to write, checked before they are trained.

The estimate is that of ``gta plan``, told without torch: a transformer's parameters are counted
from its shape, or taken from the prepared source, which holds as many.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from gta.catalog.shapes import shape_of
from gta.errors import GtaError
from gta.study import Run, Study

FLOAT32 = 4  # bytes
RGB = 3
MOMENTS = 2  # of AdamW, beside the weights in a checkpoint
# Bytes of Parquet: of a file, and of a row of the history or the predictions.
FILE, ROW, PREDICTION = 8_000, 45, 14
METADATA = 1_000_000  # bytes that Snakemake wants for its own records


def weights_bytes(study: Study, run: Run) -> int:
    """Bytes of a run's trained weights; 0 where its architecture's shape cannot be told."""
    try:
        return study.weights(run.source).stat().st_size
    except OSError:  # not prepared yet
        recipe = study.recipe(run)
        shape = shape_of(recipe.architecture)
    if shape is None:
        return 0
    width = shape.embed_dim
    block = 12 * width**2 + 13 * width
    tokens = (recipe.image_size // shape.patch_size) ** 2 + 1
    parameters = shape.depth * block + (RGB * shape.patch_size**2 + tokens + 4) * width
    return FLOAT32 * parameters


def results_bytes(study: Study, run: Run) -> int:
    """Bytes that a run leaves for good; predictions on images of an unknown number left out."""
    counts = study.dataset_info(run.dataset).counts
    tested = 0 if counts is None else counts.test + (counts.heldout or study.config.split.heldout)
    kept = weights_bytes(study, run) if study.keeps_weights(run) else 0
    return 3 * FILE + study.recipe(run).iterations * ROW + tested * PREDICTION + kept


def checkpoint_bytes(study: Study, run: Run) -> int:
    """Bytes of a run's checkpoint, which goes when the run is done."""
    return (1 + MOMENTS) * weights_bytes(study, run)


def require_room(study: Study, runs: Iterable[Run]) -> str:
    """Check that the results of runs fit on the disk.

    Args:
        study: the study.
        runs: those that are to be trained; what they have left already needs no more room.

    Returns:
        A line that says so if their checkpoints do not fit beside the results; else empty.

    Raises:
        GtaError: the results do not fit.
    """
    todo = [run for run in runs if not study.run_files(run).metrics.exists()]
    results = sum(results_bytes(study, run) for run in todo)
    free = _free(study.folder)
    if results > free:
        kept = sum(weights_bytes(study, run) for run in todo if study.keeps_weights(run))
        raise GtaError(
            f"{len(todo):,} runs need about {_size(results)} ({_size(kept)} of it for weights "
            f"that are kept) and {_size(free)} are free",
            where=study.folder,
            remedy="make room there, or keep fewer weights by `keep_weights`; see `gta plan`",
        )
    checkpoints = sum(checkpoint_bytes(study, run) for run in todo)
    if results + checkpoints > free:
        return (
            f"{study.folder}: checkpoints of {len(todo):,} runs may need {_size(checkpoints)} "
            f"beside {_size(results)} of results, and {_size(free)} are free"
        )
    return ""


def require_room_for_study(study: Study) -> None:
    """Check that what all runs are to write fits, and Snakemake's own records do.

    Raises:
        GtaError: it does not.
    """
    require_room(study, study.runs)
    free = _free(Path(".snakemake"))
    if free < METADATA:
        raise GtaError(
            f"{_size(free)} are free, and Snakemake keeps its records there",
            where=Path(".snakemake").absolute(),
            remedy="make room",
        )


def _free(folder: Path) -> int:
    """Bytes that this user may write in a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    inodes = os.statvfs(there)
    if inodes.f_files and not inodes.f_favail:
        return 0
    return shutil.disk_usage(there).free


def _size(count: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"
