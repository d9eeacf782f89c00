"""Content of figures 1, B1 and 3: attention of each model of the study on their images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from gta.attention import grid_of, kept_patches, overlap, square, view_of
from gta.attention.maps import cls_maps, upsample
from gta.catalog import Protocol
from gta.data.batches.augment import Evaluator
from gta.data.store import Store
from gta.figures.images import positions_of
from gta.figures.panels import Panels, Row, Shown
from gta.models.shown import mask_logits, mask_request
from gta.models.sources import load_source
from gta.models.taps import read_source
from gta.results.weights import trained_weights
from gta.study import Recipe, Study
from gta.study.run import POINT
from gta.tables import select
from gta.tables.render import point_text


@dataclass(frozen=True)
class Model:
    """A model of the figure, for one dataset.

    Attributes:
        title: method and rate.
        weights: its file; None where there is none, or its lambda could not be chosen.
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
    points: dict[tuple[object, ...], tuple[float, str]] = {
        tuple(key): (lam, tuned)
        for *key, lam, tuned in chosen[["source", "method", "mix", "rate", *POINT]].itertuples(
            index=False, name=None
        )
    }
    recipe = study.recipe(runs[0])
    models = [Model("Pre-trained", study.weights(runs[0].source), recipe, "")]
    order = {method: rank for rank, method in enumerate(study.methods)}
    cells = {(order[run.method], run.rate, run.source, run.mix): run for run in runs}
    for _, run in sorted(cells.items()):
        lam, tuned = points[run.source, run.method, run.mix, run.rate]
        title = f"{study.methods[run.method].title}\n{run.rate:g} %"
        if np.isnan(lam):
            models.append(Model(title, None, study.recipe(run), ""))
            continue
        own = replace(run, lam=lam, tuned=tuned, seed=study.config.seeds[0])
        shown = [f"λ {lam:g} {study.methods.lam_of(run.method)}".rstrip(), point_text(nan, tuned)]
        label = ", ".join(filter(None, shown if len(study.grid(run.method)) > 1 else shown[1:]))
        models.append(Model(title, trained_weights(study, own), study.recipe(own), label))
    return models


def map_rows(study: Study, name: str, metrics: pd.DataFrame) -> Panels:
    """Titles of the models and rows for ``draw_maps``."""
    stores = {dataset: Store(study.store(dataset)) for dataset in _datasets(study, name)}
    titles: list[str] = []
    rows: list[Row] = []
    for dataset, positions in positions_of(study, name, stores).items():
        store = stores[dataset]
        models = models_of(study, name, metrics, dataset)
        titles = [model.title for model in models]
        columns = [_maps(model, store, positions) for model in models]
        view = Evaluator(models[0].recipe)
        title = study.dataset_info(dataset).title
        for position, *shown in zip(positions, *columns, strict=True):
            image = view.pixels(store.image(position)).numpy()
            rows.append(Row(image, shown, title, name=store.names[position]))
    return Panels(titles, rows)


def mask_rows(study: Study, name: str, metrics: pd.DataFrame) -> Panels:
    """Titles of the models and rows for ``draw_masks``; none where no dataset has masks."""
    settings = study.config.segmentation
    protocol = settings.measured[0]
    datasets = _datasets(study, name)
    stores = {dataset: Store(study.store(settings.dataset or dataset)) for dataset in datasets}
    stores = {dataset: store for dataset, store in stores.items() if store.has_masks}
    titles: list[str] = []
    rows: list[Row] = []
    if not stores:
        return Panels(titles, rows)
    for dataset, positions in positions_of(
        study, name, stores, settings.dataset, masked=True
    ).items():
        store = stores[dataset]
        models = models_of(study, name, metrics, dataset)
        titles = [model.title for model in models]
        pictures = [
            _picture(store, position, models[0].recipe, settings.dataset is not None)
            for position in positions.tolist()
        ]
        size = square(study, models[0].recipe, protocol)
        columns = [_masks(model, store, positions, protocol, size, pictures) for model in models]
        title = study.dataset_info(dataset).title
        for position, (image, mask), *shown in zip(positions, pictures, *columns, strict=True):
            rows.append(Row(image, shown, title, mask, store.names[position]))
    return Panels(titles, rows)


def mask_note(study: Study) -> str:
    """Description of the masks of figure 3 in one line."""
    settings = study.config.segmentation
    protocol = settings.measured[0]
    note = f"Best head, patches that hold {100 * protocol.mass:g} % of its attention"
    if protocol.ignore_void:
        note += ", void pixels left out of the IoU"
    if settings.dataset is None:
        return note
    size = f", at {protocol.size} x {protocol.size} pixels" if protocol.size else ""
    images = study.dataset_info(settings.dataset).title
    return f"{note}{size}. Images of {images}; the models are trained on what stands at the left."


def _datasets(study: Study, name: str) -> list[str]:
    trained = {run.dataset for run in study.runs_of(name)}
    return [dataset for dataset in study.config.datasets if dataset in trained]


def _maps(model: Model, store: Store, positions: NDArray[np.int64]) -> list[Shown]:
    """The map that a model shows on each image."""
    if model.weights is None:
        return [Shown(None)] * len(positions)
    size = model.recipe.image_size
    vit = load_source(model.weights, model.recipe.architecture, size)
    images = Evaluator(model.recipe)(store.images(positions))
    return [Shown(values, model.label) for values in upsample(cls_maps(vit, images), size, size)]


Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # (h, w, 3) and the objects, (h, w)


def _picture(store: Store, position: int, recipe: Recipe, entire: bool) -> Picture:
    """An image and its objects: all of it as it is stored, or in the view of the tests."""
    image, mask = store.image(position), store.mask(position)
    if entire:
        return image, mask
    view = Evaluator(recipe)
    return view.pixels(image).numpy(), view.mask(mask).numpy()


def _masks(
    model: Model,
    store: Store,
    positions: NDArray[np.int64],
    protocol: Protocol,
    size: int | None,
    pictures: list[Picture],
) -> list[Shown]:
    """The mask of the head that agrees best with all objects of an image together."""
    if model.weights is None:
        return [Shown(None)] * len(positions)
    recipe = model.recipe
    vit = load_source(model.weights, recipe.architecture, size or recipe.image_size)
    grid = grid_of(vit)
    view = view_of(store, positions, recipe, size, grid)
    ((images, objects),) = view.batches(recipe, len(positions), torch.device("cpu"))
    logits = mask_logits(read_source(vit, images, mask_request(vit)))
    kept = kept_patches(logits, protocol.mass)
    best, heads = overlap(kept, objects.joined, protocol)[:, 0].max(dim=1)
    shown = []
    for masks, head, iou, (image, _) in zip(kept, heads, best.tolist(), pictures, strict=True):
        patches = masks[head].unflatten(0, grid)[None, None].float()
        pixels = F.interpolate(patches, image.shape[:2], mode="nearest-exact")[0, 0] > 0
        label = f"IoU {iou:.2f}" + (f", {model.label}" if model.label else "")
        shown.append(Shown(pixels.numpy(), label))
    return shown
