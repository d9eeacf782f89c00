"""Every model of a study held against the object masks, and the files that keep it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gta.attention.masks import (
    Grid,
    Objects,
    attention_mass,
    jaccard,
    matched_jaccard,
    objects_of,
)
from gta.attention.views import Views
from gta.catalog import Protocol
from gta.errors import GtaError
from gta.files import atomic_write, file_digest
from gta.models.families import grids_of, image_side
from gta.models.shown import map_grid, mask_logits, mask_request
from gta.models.sources import load_source
from gta.models.taps import read_source
from gta.results import IDENTITY, read_collected
from gta.results.kept import keep, read_kept
from gta.results.weights import trained_weights
from gta.study import Recipe, Run, Study
from gta.study.run import CELL, POINT

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

# Most images and most tokens of a forward pass without gradients.
BATCH = 256
TOKENS = 32768

# Part of what a kept measurement is recognised by: raise it when the numbers come out otherwise.
VERSION = 1

# A row a model and protocol; shares in [0, 1], means over images.
SEGMENTATION = pa.schema(
    [
        *IDENTITY,  # all null but ``source`` for a source before fine-tuning
        ("evaluated_on", pa.string()),  # dataset of the images and masks
        ("protocol", pa.string()),
        ("mass", pa.float64()),
        ("heads", pa.string()),
        ("ignore_void", pa.bool_()),
        ("size", pa.int64()),  # side in pixels of what the model saw
        ("jaccard", pa.float64()),
        ("matched_jaccard", pa.float64()),
        ("attention_mass", pa.float64()),
        ("n_images", pa.int64()),
    ]
)


def measure_masks(
    model: VisionTransformer,
    batches: Iterable[tuple[Tensor, Tensor | Objects]],
    protocols: Sequence[Protocol],
) -> list[dict[str, Any]]:
    """Compare a model's attention with the masks of many images.

    Args:
        model: a timm ViT.
        batches: images (B, 3, S, S), normalised, and their masks or class maps (B, S, S), or what
            ``objects_of`` made of them; on the model's device.
        protocols: one row each.

    Returns:
        Rows with the protocol and its settings, size, jaccard, matched_jaccard, attention_mass
        and n_images: means over the images that show an object.
    """
    grid = grid_of(model)
    size = image_side(model)
    found: list[list[Tensor]] = [[] for _ in protocols]
    request = mask_request(model)
    for images, labels in batches:
        logits = mask_logits(read_source(model, images, request))
        objects = labels if isinstance(labels, Objects) else objects_of(labels, grid)
        mass = attention_mass(logits, objects)
        for protocol, scores in zip(protocols, found, strict=True):
            index = jaccard(logits, objects, protocol)
            matched = matched_jaccard(logits, objects, protocol)
            scores.append(torch.stack([index, matched, mass], dim=1).cpu())
    return [
        _row(protocol, size, torch.cat(scores).double())
        for protocol, scores in zip(protocols, found, strict=True)
    ]


def grid_of(model: VisionTransformer) -> Grid:
    """Rows and columns of the places that a model's attention is measured on."""
    return map_grid(model)


def square(study: Study, recipe: Recipe, protocol: Protocol) -> int | None:
    """Side of the square that images are resized to; None for each dataset's own view."""
    if study.config.segmentation.dataset is None:
        return None
    return protocol.size or recipe.image_size


def _row(protocol: Protocol, size: int, scores: Tensor) -> dict[str, Any]:
    shown = scores[~scores[:, 0].isnan()]
    index, matched, mass = shown.mean(dim=0).tolist()
    return {
        "protocol": protocol.name,
        "mass": protocol.mass,
        "heads": protocol.heads,
        "ignore_void": protocol.ignore_void,
        "size": size,
        "jaccard": index,
        "matched_jaccard": matched,
        "attention_mass": mass,
        "n_images": len(shown),
    }


def segment(
    study: Study,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Measure every model that the study's tables of masks need, on test images with masks.

    These are the runs whose weights are there (one that is missing leaves no row, and a hole in
    the table), at all lambdas or at the chosen ones, and their sources before fine-tuning. Whose
    masks, and how, say the config's ``segmentation`` settings; where these are each dataset's
    own, datasets without masks are left out.

    What is measured of a model is kept under ``results/<study>/segmentation`` and read again as
    long as it was made of the same weights, images and settings: a killed job continues.

    Args:
        study: the study.
        device: where to compute; default the CPU.
        progress: called after each model with the models done and their number.

    Returns:
        A table of the schema ``SEGMENTATION``.

    Raises:
        GtaError: if a store, weights, or the metrics that choose lambda cannot be opened, or a
            protocol's size does not suit the model's patches.
    """
    device = device or torch.device("cpu")
    views = Views(study)
    jobs = [job for job in _jobs(study) if views.store(job.evaluated_on).has_masks]
    rows: list[dict[str, Any]] = []
    for done, job in enumerate(jobs, start=1):
        key = _key(study, job, views)
        kept = read_kept(job.kept, key)
        if kept is None:
            kept = [
                {**job.identity(), "evaluated_on": job.evaluated_on, **row}
                for row in _measure_masks(study, job, views, device)
            ]
            keep(job.kept, kept, SEGMENTATION, key)
        rows += kept
        if progress is not None:
            progress(done, len(jobs))
    return pa.Table.from_pylist(rows, schema=SEGMENTATION)


def write(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/segmentation.parquet``, whole or not at all."""
    with atomic_write(study.folder / "segmentation.parquet") as hidden:
        pq.write_table(table, hidden)


@dataclass(frozen=True)
class _Job:
    """A model to measure: a run's, or its source's where ``trained`` is False.

    Attributes:
        run: that it is, or that tells the recipe of a source.
        trained: see above.
        weights: its file.
        evaluated_on: dataset of the images and masks.
        kept: the file that keeps what was measured.
    """

    run: Run
    trained: bool
    weights: Path
    evaluated_on: str
    kept: Path

    def identity(self) -> dict[str, Any]:
        if self.trained:
            return {field: getattr(self.run, field) for field in IDENTITY.names}
        return {"source": self.run.source}


def _jobs(study: Study) -> Iterator[_Job]:
    specs = study.tables.items()
    needs = [study.runs_of(name) for name, spec in specs if spec.kind == "segmentation"]
    runs = sorted(frozenset().union(*needs))
    wanted = frozenset(runs if study.config.segmentation.lambdas == "all" else _chosen(study, runs))
    seen: set[tuple[str, str]] = set()
    for run in runs:
        images = study.config.segmentation.dataset or run.dataset
        if (images, run.source) not in seen:
            seen.add((images, run.source))
            folder = study.folder / "segmentation" / f"source={run.source}"
            kept = folder / f"evaluated_on={images}" / "part.parquet"
            yield _Job(run, False, study.weights(run.source), images, kept)
        if run in wanted and (weights := trained_weights(study, run)) is not None:
            yield _Job(run, True, weights, images, study.run_files(run).path("segmentation"))


def _chosen(study: Study, runs: Sequence[Run]) -> Iterator[Run]:
    """The runs at a lambda that one of the two selections chose."""
    from gta.tables import (  # pandas: training, which imports this package, needs none
        ACCURACIES,
        select,
    )

    fields = [*CELL, *POINT]
    table = select(study, read_collected(study, *ACCURACIES))[fields]
    chosen = set(table.itertuples(index=False, name=None))
    for run in runs:
        if tuple(getattr(run, field) for field in fields) in chosen:
            yield run


def _measure_masks(
    study: Study, job: _Job, views: Views, device: torch.device
) -> Iterator[dict[str, Any]]:
    """A row for each protocol, in the config's order; protocols of one size share a pass."""
    recipe = study.recipe(job.run)
    protocols = study.config.segmentation.measured
    rows: dict[str, dict[str, Any]] = {}
    sizes = [square(study, recipe, protocol) for protocol in protocols]
    for size in dict.fromkeys(sizes):
        own = [protocol for protocol, s in zip(protocols, sizes, strict=True) if s == size]
        try:
            model = load_source(job.weights, recipe.architecture, size or recipe.image_size)
        except GtaError as error:
            names = ", ".join(protocol.name for protocol in own)
            raise GtaError(f"segmentation: protocols {names}: {error}") from None
        view = views.get(job.evaluated_on, recipe, size, grid_of(model))
        batch = min(BATCH, max(1, TOKENS // max(a * b for a, b in grids_of(model))))
        measured = measure_masks(model.to(device), view.batches(recipe, batch, device), own)
        rows |= {row["protocol"]: row for row in measured}
    for protocol in protocols:
        yield rows[protocol.name]


def _key(study: Study, job: _Job, views: Views) -> str:
    """Digest of all that decides what is measured of a model."""
    shown = {"architecture", "image_size", "mean", "std", "evaluation"}
    made_of = {
        "version": VERSION,
        "weights": file_digest(job.weights),
        "images": views.store(job.evaluated_on).digest,
        "recipe": study.recipe(job.run).model_dump(mode="json", include=shown),
        "square": study.config.segmentation.dataset is not None,
        "protocols": [dataclasses.asdict(p) for p in study.config.segmentation.measured],
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
