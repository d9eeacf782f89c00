"""Model inputs and patch coverage of a dataset's test images, computed once for all models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gta.attention.masks import BACKGROUND, VOID, Grid, Objects, objects_of
from gta.data.batches.augment import Evaluator, Normalisation
from gta.data.batches.transfer import Transfer
from gta.data.store import Store
from gta.study import Recipe, Study

OBJECT = 1  # id of all objects where they count as one
CHUNK = 64  # images whose masks are cut into patches at a time


@dataclass(frozen=True)
class View:
    """Images as models see them.

    Attributes:
        pixels: (n, S, S, 3) uint8.
        objects: what the patches of each show.
    """

    pixels: NDArray[np.uint8]
    objects: Objects

    def batches(
        self, recipe: Recipe, size: int, device: torch.device
    ) -> Iterator[tuple[Tensor, Objects]]:
        """Images (B, 3, S, S), copied as bytes and normalised on the device, and their objects."""
        normalise, transfer = Normalisation(recipe), Transfer(device)
        for start in range(0, len(self.pixels), size):
            some = slice(start, start + size)
            pixels = torch.from_numpy(self.pixels[some])
            (there,) = transfer.send([pixels]).take()
            images = normalise.finish(there.permute(0, 3, 1, 2).contiguous())
            yield images, self.objects[some].to(device)


def view_of(
    store: Store, positions: NDArray[np.int64], recipe: Recipe, size: int | None, grid: Grid
) -> View:
    """Bring images and masks to what a model sees.

    Args:
        store: with masks.
        positions: (n,) of the images.
        recipe: of the model.
        size: side of a square that whole images are resized to at any aspect, bilinearly, masks by
            nearest, as the public protocols do; None is the recipe's view of test images, in which
            all objects count as one.
        grid: rows and columns of the model's patches.

    Raises:
        GtaError: if the store has no masks or the grid does not divide the view.
    """
    evaluator = Evaluator(recipe)
    classes = [OBJECT] if size is None else list(range(1, len(store.classes) + 1))
    side = size or recipe.image_size
    pixels = np.empty((len(positions), side, side, 3), np.uint8)
    objects = []
    for start in range(0, len(positions), CHUNK):
        masks = []
        for number, position in enumerate(positions[start : start + CHUNK], start=start):
            image = store.image(position)
            if size is None:
                pixels[number] = evaluator.pixels(image).numpy()
                masks.append(_own_view(store, position, evaluator))
                continue
            pixels[number] = _square(image, size, Image.Resampling.BILINEAR)
            mask = _square(store.class_mask(position), size, Image.Resampling.NEAREST)
            masks.append(torch.from_numpy(mask if store.masks == "classes" else mask.astype(bool)))
        objects.append(objects_of(torch.stack(masks), grid, classes))
    return View(
        pixels,
        Objects(torch.cat([o.classes for o in objects]), torch.cat([o.void for o in objects])),
    )


def _own_view(store: Store, position: int, evaluator: Evaluator) -> Tensor:
    """An image's mask in the view of the tests, all objects as one; void pixels stay void."""
    if store.masks == "object":
        return evaluator.mask(store.mask(position))
    ids = store.class_mask(position)
    return evaluator.mask_ids(np.where((ids == BACKGROUND) | (ids == VOID), ids, OBJECT))


class Views:
    """The views of a study's test images; each is kept for the models to come."""

    def __init__(self, study: Study) -> None:
        """Nothing is opened before it is asked for."""
        self._study = study
        self._stores: dict[str, Store] = {}
        self._views: dict[Any, View] = {}

    def store(self, dataset: str) -> Store:
        """The prepared dataset.

        Raises:
            GtaError: if it is missing or damaged.
        """
        if dataset not in self._stores:
            self._stores[dataset] = Store(self._study.store(dataset))
        return self._stores[dataset]

    def get(self, dataset: str, recipe: Recipe, size: int | None, grid: Grid) -> View:
        """All test images of a dataset; arguments and errors as in ``view_of``."""
        view = (recipe.image_size, recipe.evaluation) if size is None else size
        key = (dataset, view, grid)
        if key not in self._views:
            store = self.store(dataset)
            self._views[key] = view_of(store, store.indices("test"), recipe, size, grid)
        return self._views[key]


def _square(array: NDArray[np.uint8], size: int, method: Image.Resampling) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(array).resize((size, size), method))
