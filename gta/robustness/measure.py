"""Test finished runs on corrupted test images, and keep what was measured."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from gta.data.batches.augment import Evaluator, Pixels
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.files import atomic_write, file_digest
from gta.models.sources import load_backbone, read_weights
from gta.models.vit import create
from gta.results import IDENTITY
from gta.results.kept import keep, read_kept
from gta.results.weights import trained_weights
from gta.robustness.corruptions import corrupt
from gta.robustness.scores import aurra, calibration_error
from gta.study import Recipe, Run, Study
from gta.train.evaluate import Evaluated, evaluate_each

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

CLEAN = "none"
# Runs whose models are in memory together: each corrupted image is made once for all of them.
MOST_MODELS = 16

# Part of what a kept measurement is recognised by: raise it when the numbers come out otherwise.
VERSION = 1

# A row for each run, corruption and severity; percent but for loss (nats) and attention_mass.
ROBUSTNESS = pa.schema(
    [
        *IDENTITY,
        ("corruption", pa.string()),  # ``none``, severity 0: the images as they are
        ("severity", pa.int64()),
        ("n_images", pa.int64()),
        ("acc1", pa.float64()),
        ("loss", pa.float64()),
        ("calibration_error", pa.float64()),
        ("aurra", pa.float64()),
        ("attention_mass", pa.float64()),  # null without masks
    ]
)


class CorruptedEvaluator(Evaluator):
    """The view of a corrupted test image: the corruption acts on what the model would see."""

    def __init__(self, recipe: Recipe, corruption: str, severity: int, seed: int) -> None:
        """Set up for a recipe; ``none`` corrupts nothing."""
        super().__init__(recipe)
        self.corruption, self.severity, self.seed = corruption, severity, seed

    def pixels(self, image: Pixels) -> Tensor:
        """The corrupted view before normalisation, (image_size, image_size, 3) uint8."""
        view = super().pixels(image)
        if self.corruption == CLEAN:
            return view
        pixels = corrupt(view.numpy(), self.corruption, self.severity, self.seed)
        return torch.from_numpy(pixels)


def measure_robustness(
    study: Study,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Test all runs that the study's tables of robustness need and whose weights are there.

    What was measured of a run is kept under ``results/<study>/robustness`` and read again as long
    as it was made of the same weights, images and settings: a job that was killed goes on.

    Args:
        study: the study.
        device: where to compute; default the CPU.
        progress: called with the passes over the test images that are done, and their number.

    Returns:
        A table of the schema ``ROBUSTNESS``, runs in order.

    Raises:
        GtaError: a store or weights cannot be opened.
    """
    device = device or torch.device("cpu")
    specs = study.tables.items()
    needs = [study.runs_of(name) for name, spec in specs if spec.kind == "robustness"]
    stores: dict[str, Store] = {}
    rows: dict[Run, list[dict[str, Any]]] = {}
    todo: dict[Any, list[tuple[Run, Path, str]]] = defaultdict(list)
    for run in sorted(frozenset().union(*needs)):
        weights = trained_weights(study, run)
        if weights is None:
            continue
        if run.dataset not in stores:
            stores[run.dataset] = Store(study.store(run.dataset))
        key = _key(study, run, weights, stores[run.dataset])
        kept = read_kept(study.run_files(run).path("robustness"), key)
        if kept is None:
            todo[_view(study, run)].append((run, weights, key))
            rows[run] = []  # holds the place
        else:
            rows[run] = kept
    chunks = [c for jobs in todo.values() for c in _chunks(jobs)]
    views = study.config.robustness.views
    done, total = 0, len(views) * len(chunks)
    for chunk in chunks:
        for found in _measured(study, chunk, stores, views, device):
            for run, row in found.items():
                rows[run].append(row)
            done += 1
            if progress is not None:
                progress(done, total)
        for run, _, key in chunk:
            kept_at = study.run_files(run).path("robustness")
            keep(kept_at, rows[run], ROBUSTNESS, key)
    return pa.Table.from_pylist([r for run in rows for r in rows[run]], schema=ROBUSTNESS)


def write(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/robustness.parquet``, whole or not at all."""
    with atomic_write(study.folder / "robustness.parquet") as hidden:
        pq.write_table(table, hidden)


def _view(study: Study, run: Run) -> tuple[Any, ...]:
    """Settings that must be equal for runs to be tested on the same batches."""
    recipe = study.recipe(run)
    return run.dataset, recipe.evaluation, recipe.image_size, recipe.mean, recipe.std


def _chunks(jobs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(jobs), MOST_MODELS):
        yield jobs[at : at + MOST_MODELS]


def _measured(
    study: Study,
    chunk: Sequence[tuple[Run, Path, str]],
    stores: dict[str, Store],
    views: Sequence[tuple[str, int]],
    device: torch.device,
) -> Iterator[dict[Run, dict[str, Any]]]:
    """Rows of some runs, one view after the other."""
    runs = [run for run, _, _ in chunk]
    store, recipe = stores[runs[0].dataset], study.recipe(runs[0])
    classes = len(store.classes)
    models = [model_of(study, run, weights, classes, device) for run, weights, _ in chunk]
    positions = positions_of(study, runs[0], store)
    for corruption, severity in views:
        evaluator = CorruptedEvaluator(recipe, corruption, severity, study.config.robustness.seed)
        recipes = [study.recipe(run) for run in runs]
        found = evaluate_each(models, recipes, store, positions, evaluator, device)
        yield {
            run: {
                **{field: getattr(run, field) for field in IDENTITY.names},
                "corruption": corruption,
                "severity": severity,
                **_scores(evaluated),
            }
            for run, evaluated in zip(runs, found, strict=True)
        }


def model_of(
    study: Study, run: Run, weights: Path, classes: int, device: torch.device
) -> VisionTransformer:
    """A finished run's model, head included."""
    recipe = study.recipe(run)
    model = create(recipe.architecture, recipe.image_size, classes)
    tensors = read_weights(weights)
    load_backbone(model, tensors, weights)
    head = {name: t for name, t in tensors.items() if name.startswith("head.")}
    model.load_state_dict({**model.state_dict(), **head})
    return model.to(device).eval()


def positions_of(study: Study, run: Run, store: Store) -> NDArray[np.int64]:
    """Test images: all, or as many as the config says, evenly over the set."""
    test = subset_of(study, run, store).test
    most = study.config.robustness.images
    if most is None or most >= len(test):
        return test
    chosen: NDArray[np.int64] = test[np.linspace(0, len(test) - 1, most).round().astype(int)]
    return chosen


def _scores(found: Evaluated) -> dict[str, Any]:
    correct = found.prediction == found.label
    return {
        "n_images": len(correct),
        "acc1": found.acc1,
        "loss": found.loss,
        "calibration_error": calibration_error(found.confidence, correct),
        "aurra": aurra(found.confidence, correct),
        "attention_mass": found.attention_mass,
    }


def _key(study: Study, run: Run, weights: Path, store: Store) -> str:
    """Digest of all that decides what is measured of a run."""
    shown = {"architecture", "image_size", "mean", "std", "evaluation"}
    made_of = {
        "version": VERSION,
        "weights": file_digest(weights),
        "images": store.digest,
        "recipe": study.recipe(run).model_dump(mode="json", include=shown),
        "split": study.config.split.model_dump(mode="json"),
        "robustness": study.config.robustness.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
