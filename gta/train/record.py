"""Writing a trained run's results: history, predictions, weights, and last its row of metrics."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from gta import __version__, files, results
from gta.data.splits import Subset
from gta.errors import GtaError
from gta.models.sources import weights_digest
from gta.study import Run, RunFiles
from gta.train.device import device_name, peak_memory
from gta.train.evaluate import Evaluated
from gta.train.learner import Learner
from gta.train.loss import REMEDY

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def record(
    run_files: RunFiles,
    learner: Learner,
    subset: Subset,
    test: Evaluated,
    heldout: Evaluated | None,
    origin: results.Origin,
) -> None:
    """Write a run's results.

    Args:
        run_files: the run's files.
        learner: the run, all its iterations done.
        subset: its images.
        test: its model's predictions on the test images.
        heldout: and on the held-out ones, if there are any.
        origin: the data and source that it was trained on.

    Raises:
        GtaError: if the test loss is not finite, or a file cannot be written.
    """
    if not math.isfinite(test.loss):  # the last step may break the weights
        raise GtaError(f"the test loss is {test.loss:g} after the last iteration; {REMEDY}")
    run, recipe = learner.run, learner.recipe
    results.write(run_files, "history", learner.history)
    rows = test.rows("test") + (heldout.rows("heldout") if heldout else [])
    results.write(run_files, "predictions", rows)
    if run_files.keeps_weights:
        learner.merge()
        save_weights(run_files.weights, learner.model, run, run_files.digest)
    metrics: dict[str, Any] = {
        "acc1": test.acc1,
        "loss": test.loss,
        "heldout_acc1": heldout.acc1 if heldout else None,
        "heldout_loss": heldout.loss if heldout else None,
        "n_train": len(subset.train),
        "n_test": len(subset.test),
        "n_heldout": len(subset.heldout),
        "iterations": recipe.iterations,
        "seconds": learner.seconds,
        "images_per_second": recipe.iterations * recipe.batch_size / learner.seconds,
        "peak_memory_mb": peak_memory(learner.device),
        "device": device_name(learner.device),
        "precision": recipe.precision,
        "attention_mass": test.attention_mass,
        "skipped_steps": learner.skipped,
        "recipe_digest": run_files.digest,
        "data_digest": origin.data,
        "source_digest": origin.source,
        "versions": _versions(),
        "git_commit": _git_commit(),
        "finished_at": datetime.now(UTC).replace(microsecond=0),
    }
    results.write(run_files, "metrics", [metrics])


def save_weights(path: Path, model: VisionTransformer, run: Run, digest: str) -> None:
    """Write a trained model as safetensors; run and digests of recipe and weights are metadata.

    Raises:
        GtaError: it cannot be written.
    """
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    metadata = {
        "run": run.name,
        "recipe_digest": digest,
        "weights_digest": weights_digest(weights),
    }
    with files.atomic_write(path) as hidden:
        try:
            save_file(weights, hidden, metadata=metadata)
        except SafetensorError as error:  # which is not an OSError, also on a full disk
            raise GtaError(f"{path}: cannot be written: {error}") from None


@cache
def _versions() -> str:
    packages = ("torch", "torchvision", "timm", "numpy")
    found = {name: version(name) for name in packages}
    # gta's own from the code: it may run from a checkout that is not installed
    return json.dumps({"python": platform.python_version(), "gta": __version__, **found})


@cache
def _git_commit() -> str:
    """The commit of the code; ``GTA_COMMIT`` names that of a copy without its repository."""
    if given := os.environ.get("GTA_COMMIT"):
        return given
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
