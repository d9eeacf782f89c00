"""Where each file of a study lies."""

from __future__ import annotations

from pathlib import Path

from gta.study import RUN_FIELDS, Run, Study


def failure_path(study: Study, run: Run) -> Path:
    """Where a failed run leaves the last line of its error."""
    return study.folder / "failures" / run.name / "error.txt"


def log_path(study: Study, run: Run) -> Path:
    """Where Snakemake keeps what the last job said that trained a run."""
    pack = study.pack({field: run.text(field) for field in RUN_FIELDS})
    return study.folder / "logs" / "train" / f"{pack.name}.log"
