"""Weights that a run has kept, looked at before anything is drawn or measured of them."""

from __future__ import annotations

import os
from pathlib import Path

from gta import files, results
from gta.errors import GtaError
from gta.models.sources import check_weights, read_metadata
from gta.study import Run, Study


def trained_weights(study: Study, run: Run) -> Path | None:
    """The file of a run's trained model; None where there is none.

    Raises:
        GtaError: if it may not be read; if it is damaged, it is set aside, with the run's metrics
            and what was collected of them, so that Snakemake trains the run again.
    """
    path = study.path("models", run)
    if not path.exists():
        return None
    try:
        if "weights_digest" in read_metadata(path):  # older files have none
            check_weights(path)
    except GtaError as error:
        if not os.access(path, os.R_OK, effective_ids=True):  # which is no damage
            raise
        said, aside = str(error).partition(";")[0], files.put_away(path).name
        results.set_aside(study, run)  # a model is missing now
        (study.folder / "metrics.parquet").unlink(missing_ok=True)
        raise GtaError(
            f"{said}; set aside as {aside}: the next `snakemake` trains the run again"
        ) from None
    return path
