"""What runs leave behind, written as training writes it but made up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from gta import files, results
from gta.errors import GtaError
from gta.study import Run, Study


def finish(study: Study, run: Run, **columns: Any) -> None:
    """All that a finished run leaves; ``columns`` are of its row of metrics.

    Of a hundred test images, the first ``acc1`` are classified right.
    """
    row = metrics_row(study, run, **columns)
    results.write(study.run_files(run), "history", [{"iteration": 0}])
    seen = {"split": "test", "label": 0, "confidence": 0.5}
    rows = [{**seen, "index": i, "prediction": int(i >= row["acc1"])} for i in range(100)]
    results.write(study.run_files(run), "predictions", rows)
    if study.keeps_weights(run):
        keep_weights(study, run)
    results.write(study.run_files(run), "metrics", [row])


def metrics_row(study: Study, run: Run, **columns: Any) -> dict[str, Any]:
    """A full row of metrics."""
    return {
        "acc1": 50.0,
        "loss": 1.5,
        "heldout_acc1": 49.0,
        "heldout_loss": 1.6,
        "n_train": 60,
        "n_test": 100,
        "n_heldout": 20,
        "iterations": study.recipe(run).iterations,
        "seconds": 2.0,
        "images_per_second": 25.6,
        "peak_memory_mb": 300.0,
        "device": "cpu",
        "precision": "float32",
        "recipe_digest": study.digest(run),
        "data_digest": "data-1",
        "source_digest": "source-1",
        "versions": "{}",
        "git_commit": "0" * 40,
        "finished_at": datetime.now(UTC).replace(microsecond=0),
        **columns,
    }


def keep_weights(study: Study, run: Run, **metadata: str) -> Path:
    """A model file of a run, its one tensor a single zero; its path."""
    path = study.run_files(run).weights
    said = {"run": run.name, "recipe_digest": study.digest(run), **metadata}
    with files.atomic_write(path) as hidden:
        save_file({"head.bias": np.zeros(1, np.float32)}, hidden, metadata=said)
    return path


def checkpoint(study: Study, run: Run, text: str = "a checkpoint") -> Path:
    """A checkpoint, though none that could be gone on from."""
    path = study.folder / "checkpoints" / run.name / "checkpoint.pt"
    files.write_text(path, text)
    return path


def fail(study: Study, run: Run, reason: str) -> None:
    """What a run leaves that ended with an error."""
    results.note_failure(study.run_files(run), GtaError(reason))


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
