"""What figures 1 and 3 show: the images, and what each model of the study attends to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gta.attention import cls_maps, upsample
from gta.catalog import METHODS
from gta.data.augment import Evaluator
from gta.data.store import Store
from gta.figures.panels import Row, Shown
from gta.models.sources import load_source
from gta.models.taps import TapRequest, read_source
from gta.segmentation import PROTOCOLS, kept_patches
from gta.study import Recipe, Run, Study
from gta.tables import select

PROTOCOL = PROTOCOLS["sar"]


@dataclass(frozen=True)
class Model:
    """A model of the figure, for one data set.

    Attributes:
        title: method and rate.
        weights: its file; None where its lambda could not be chosen.
        recipe: of its run.
        label: lambda, where there was a choice.
    """

    title: str
    weights: Path | None
    recipe: Recipe
    label: str


def models_of(study: Study, name: str, metrics: pd.DataFrame, dataset: str) -> list[Model]:
    """The source before fine-tuning, then each method and rate, at its lambda, first seed.

    Lambda is chosen on the test set, as in the paper's figures.
    """
    runs = sorted(run for run in study.runs_of(name) if run.dataset == dataset)
    chosen = select(study, metrics)
    chosen = chosen[(chosen["selection"] == "test") & (chosen["dataset"] == dataset)]
    keys = chosen[["source", "method", "mix", "rate"]].itertuples(index=False, name=None)
    lambdas: dict[tuple[object, ...], float] = dict(zip(keys, chosen["lam"], strict=True))
    recipe = study.recipe(runs[0])
    models = [Model("Pre-trained", study.weights(runs[0].source), recipe, "")]
    order = {method: rank for rank, method in enumerate(METHODS)}
    cells = {(order[run.method], run.rate, run.source, run.mix): run for run in runs}
    for _, run in sorted(cells.items()):
        lam = lambdas[run.source, run.method, run.mix, run.rate]
        title = f"{METHODS[run.method].title}\n{run.rate:g} %"
        if np.isnan(lam):
            models.append(Model(title, None, study.recipe(run), ""))
            continue
        own = Run(dataset, run.rate, run.source, run.method, run.mix, lam, study.config.seeds[0])
        label = f"λ {lam:g}" if len(study.grid(run.method)) > 1 else ""
        models.append(Model(title, study.path("models", own), study.recipe(own), label))
    return models


def positions_of(study: Study, stores: dict[str, Store]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Test images for each data set, drawn by the config's seed and shared out evenly."""
    settings = study.config.figure_settings
    shares = np.array_split(np.arange(settings.images), len(stores))
    for (dataset, store), share in zip(stores.items(), shares, strict=True):
        test = store.indices("test")
        generator = np.random.default_rng(settings.seed)
        count = min(max(1, len(share)), len(test))
        yield dataset, np.sort(generator.choice(test, count, replace=False))


def map_rows(study: Study, name: str, metrics: pd.DataFrame) -> tuple[list[str], list[Row]]:
    """Titles of the models and rows for ``draw_maps``."""
    return _rows(study, name, metrics, with_masks=False)


def mask_rows(study: Study, name: str, metrics: pd.DataFrame) -> tuple[list[str], list[Row]]:
    """Titles of the models and rows for ``draw_masks``; none where no data set has masks."""
    return _rows(study, name, metrics, with_masks=True)


def _rows(
    study: Study, name: str, metrics: pd.DataFrame, with_masks: bool
) -> tuple[list[str], list[Row]]:
    datasets = [
        d for d in study.config.datasets if any(r.dataset == d for r in study.runs_of(name))
    ]
    stores = {dataset: Store(study.store(dataset)) for dataset in datasets}
    if with_masks:
        stores = {dataset: store for dataset, store in stores.items() if store.has_masks}
    if not stores:
        return [], []
    titles: list[str] = []
    rows: list[Row] = []
    for dataset, positions in positions_of(study, stores):
        store = stores[dataset]
        models = models_of(study, name, metrics, dataset)
        titles = [model.title for model in models]
        view = Evaluator(models[0].recipe)
        images = [view.pixels(store.image(position)).numpy() for position in positions]
        masks = [view.mask(store.mask(p)).numpy() for p in positions] if with_masks else None
        columns = [_shown(model, store, positions, masks) for model in models]
        for at, image in enumerate(images):
            shown = [column[at] for column in columns]
            mask = masks[at] if masks else None
            rows.append(Row(image, shown, study.dataset_info(dataset).title, mask))
    return titles, rows


def _shown(
    model: Model,
    store: Store,
    positions: NDArray[np.int64],
    masks: list[NDArray[np.bool_]] | None,
) -> list[Shown]:
    """What a model shows on each image: its map or, where masks are given, its best mask."""
    if model.weights is None or not model.weights.exists():
        return [Shown(None)] * len(positions)
    vit = load_source(model.weights, model.recipe.architecture, model.recipe.image_size)
    images = Evaluator(model.recipe)(store.images(positions))
    if masks is None:
        size = model.recipe.image_size
        return [
            Shown(values, model.label) for values in upsample(cls_maps(vit, images), size, size)
        ]
    logits = read_source(vit, images, TapRequest(cls_logits=(-1,))).cls_logits
    assert logits is not None
    kept = kept_patches(logits[0], PROTOCOL.mass).unflatten(2, vit.patch_embed.grid_size)
    shown = []
    for heads, mask in zip(kept, masks, strict=True):
        best, iou = best_head(heads, mask)
        label = f"IoU {iou:.2f}" + (f", {model.label}" if model.label else "")
        shown.append(Shown(best, label))
    return shown


def best_head(heads: torch.Tensor, mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
    """The head whose patches agree best with a mask, as pixels, and its Jaccard index.

    Args:
        heads: (H, rows, columns) bool.
        mask: (h, w) bool; rows and columns divide it.
    """
    scale = np.array(mask.shape) // np.array(heads.shape[1:])
    pixels = heads.numpy().repeat(scale[0], axis=1).repeat(scale[1], axis=2)
    union = (pixels | mask).sum(axis=(1, 2))
    scores = (pixels & mask).sum(axis=(1, 2)) / union
    best = int(scores.argmax())
    return pixels[best], float(scores[best])
