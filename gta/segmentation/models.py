"""Every model of a study held against the object masks, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gta.data.augment import Evaluator
from gta.data.store import Store
from gta.models.sources import load_source
from gta.models.taps import TapRequest, read_source
from gta.results import IDENTITY, whole
from gta.segmentation.agreement import (
    PROTOCOLS,
    Protocol,
    attention_mass,
    foreground,
    jaccard,
    matched_jaccard,
)
from gta.study import RUN_FIELDS, Run, Study

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

BATCH = 256  # images a forward pass without gradients

# A row a model and protocol; shares in [0, 1], means over images.
SEGMENTATION = pa.schema(
    [
        *IDENTITY,  # all null but ``source`` for a source before fine-tuning
        ("evaluated_on", pa.string()),  # data set of the images and masks
        ("protocol", pa.string()),
        ("mass", pa.float64()),
        ("heads", pa.string()),
        ("ignore_void", pa.bool_()),
        ("jaccard", pa.float64()),
        ("matched_jaccard", pa.float64()),
        ("attention_mass", pa.float64()),
        ("n_images", pa.int64()),
    ]
)


def measure(
    model: VisionTransformer,
    batches: Iterable[tuple[Tensor, Tensor]],
    protocols: Sequence[Protocol],
) -> list[dict[str, Any]]:
    """Hold a model's attention against the masks of many images.

    Args:
        model: a timm ViT with a [cls] token.
        batches: images (B, 3, S, S), normalised, on the model's device, and their masks or
            class maps (B, S, S).
        protocols: one row each.

    Returns:
        Rows with the protocol and its settings, jaccard, matched_jaccard, attention_mass and
        n_images: means over the images that show an object.
    """
    patch_rows, patch_columns = model.patch_embed.grid_size
    grid = (int(patch_rows), int(patch_columns))
    found: list[list[Tensor]] = [[] for _ in protocols]
    for images, labels in batches:
        readings = read_source(model, images, TapRequest(cls_logits=(-1,)))
        assert readings.cls_logits is not None
        logits = readings.cls_logits[0].cpu()
        mass = attention_mass(logits, foreground(labels), grid)
        for protocol, scores in zip(protocols, found, strict=True):
            index = jaccard(logits, labels, protocol, grid)
            matched = matched_jaccard(logits, labels, protocol, grid)
            scores.append(torch.stack([index, matched, mass], dim=1))
    rows = []
    for protocol, scores in zip(protocols, found, strict=True):
        table = torch.cat(scores).double()
        shown = table[~table[:, 0].isnan()]
        index, matched, mass = shown.mean(dim=0).tolist()
        rows.append(
            {
                "protocol": protocol.name,
                "mass": protocol.mass,
                "heads": protocol.heads,
                "ignore_void": protocol.ignore_void,
                "jaccard": index,
                "matched_jaccard": matched,
                "attention_mass": mass,
                "n_images": len(shown),
            }
        )
    return rows


def segment(
    study: Study,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Measure every model that the study's tables of masks need, on the test images.

    These are the runs whose weights are there (one that is missing leaves no row, and a hole in
    the table) and their sources before fine-tuning; data sets without masks are left out.

    Args:
        study: the study.
        device: where to compute; default the CPU.
        progress: called after each model with the models done and their number.

    Returns:
        A table of the schema ``SEGMENTATION``.

    Raises:
        GtaError: if a store or weights cannot be opened.
    """
    device = device or torch.device("cpu")
    protocols = list(PROTOCOLS.values())
    stores = {name: Store(study.store(name)) for name in {run.dataset for run in _wanted(study)}}
    jobs = [job for job in _jobs(study) if stores[job.evaluated_on].has_masks]
    rows: list[dict[str, Any]] = []
    for done, job in enumerate(jobs, start=1):
        recipe = study.recipe(job.run)
        model = load_source(job.weights, recipe.architecture, recipe.image_size).to(device)
        batches = _batches(stores[job.evaluated_on], Evaluator(recipe), device)
        found = measure(model, batches, protocols)
        rows += [{**job.identity(), "evaluated_on": job.evaluated_on, **row} for row in found]
        if progress is not None:
            progress(done, len(jobs))
    return pa.Table.from_pylist(rows, schema=SEGMENTATION)


def write(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/segmentation.parquet``, whole or not at all."""
    with whole(study.folder / "segmentation.parquet") as hidden:
        pq.write_table(table, hidden)


@dataclass(frozen=True)
class _Job:
    """A model to measure: a run's, or its source's where ``trained`` is False."""

    run: Run
    trained: bool
    weights: Path

    @property
    def evaluated_on(self) -> str:
        return self.run.dataset

    def identity(self) -> dict[str, Any]:
        if self.trained:
            return {field: getattr(self.run, field) for field in RUN_FIELDS}
        return {"source": self.run.source}


def _wanted(study: Study) -> list[Run]:
    specs = study.tables.items()
    needs = [study.runs_of(name) for name, spec in specs if spec.kind == "segmentation"]
    return sorted(frozenset().union(*needs))


def _jobs(study: Study) -> Iterator[_Job]:
    seen: set[tuple[str, str]] = set()
    for run in _wanted(study):
        if (run.dataset, run.source) not in seen:
            seen.add((run.dataset, run.source))
            yield _Job(run, False, study.weights(run.source))
        weights = study.path("models", run)
        if weights.exists():
            yield _Job(run, True, weights)


def _batches(
    store: Store, evaluator: Evaluator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    test = store.indices("test")
    for start in range(0, len(test), BATCH):
        batch = test[start : start + BATCH]
        images = evaluator(store.images(batch)).to(device)
        yield images, torch.stack([evaluator.mask(store.mask(i)) for i in batch])
