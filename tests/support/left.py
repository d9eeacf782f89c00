"""What runs leave behind, written as training writes it but made up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gta import files, results
from gta.study import Run, Study, places


def finish(study: Study, run: Run, **columns: Any) -> None:
    """All that a finished run leaves; ``columns`` are of its row of metrics.

    Of a hundred test images, the first ``acc1`` are classified right.
    """
    row = {
        "acc1": 50.0,
        "heldout_acc1": 49.0,
        "iterations": study.recipe(run).iterations,
        "seconds": 2.0,
        "recipe_digest": study.digest(run),
        "finished_at": datetime.now(UTC),
        **columns,
    }
    results.write(study, "history", run, [{"iteration": 0}])
    seen = {"split": "test", "label": 0, "confidence": 0.5}
    rows = [{**seen, "index": i, "prediction": int(i >= row["acc1"])} for i in range(100)]
    results.write(study, "predictions", run, rows)
    if study.keeps_weights(run):
        files.write_text(study.path("models", run), "weights")
    results.write(study, "metrics", run, [row])


def checkpoint(study: Study, run: Run, text: str = "a checkpoint") -> Path:
    """A checkpoint, though none that could be gone on from."""
    path = study.folder / "checkpoints" / run.name / "checkpoint.pt"
    files.write_text(path, text)
    return path


def fail(study: Study, run: Run, reason: str) -> None:
    """What a run leaves that ended with an error."""
    files.write_text(places.failure_path(study, run), f"{reason}\n")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
