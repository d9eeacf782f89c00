"""Writing a trained run's results: history, predictions, weights, and last its row of metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import save_file

from gta import files, results
from gta.data.splits import Subset
from gta.errors import GtaError
from gta.models.sources import weights_digest
from gta.results.metrics import Outcome, row_of
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
    run = learner.run
    results.write(run_files, "history", learner.history)
    rows = test.rows("test") + (heldout.rows("heldout") if heldout else [])
    results.write(run_files, "predictions", rows)
    if run_files.keeps_weights:
        learner.merge()
        save_weights(run_files.weights, learner.model, run, run_files.digest)
    outcome = Outcome(
        run_files,
        learner.recipe,
        subset,
        test,
        heldout,
        origin,
        seconds=learner.seconds,
        skipped=learner.skipped,
        device=device_name(learner.device),
        peak_memory=peak_memory(learner.device),
    )
    results.write(run_files, "metrics", [row_of(outcome)])


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
