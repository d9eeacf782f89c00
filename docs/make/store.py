"""Measures what a store's short side changes and writes it into docs/data.md.

Grocery's store holds its photographs as they were decoded. Shrunk as a smaller store would hold
them, they show what that changes in the test views and in the answers of trained models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model

from docs.make.page import DOCS, ROOT, fill_section
from gta import results
from gta.data.batches.augment import Evaluator
from gta.data.images import resize_short_side
from gta.data.store import Store
from gta.errors import GtaError
from gta.methods import METHODS
from gta.models.vit import create
from gta.study import RUN_FIELDS, Run, Study
from gta.train.evaluate import Evaluated, evaluate_each

CONFIG = ROOT / "config" / "grocery.yaml"
PAGE, COMMAND = DOCS / "data.md", "python -m docs.make store"
SOURCES = [Path(__file__), CONFIG]
# Test views are cut from 128 pixels: 5/4 of that, as the paper study's 320 are of its 256; and 1.
SIDES = (160, 128)


class Shrunk(Store):
    """A store as it would be with a smaller ``images.short_side``."""

    def __init__(self, folder: Path, side: int) -> None:
        """Open it."""
        super().__init__(folder)
        self._side = side

    def image(self, position: int) -> NDArray[np.uint8]:
        """An image, its shorter side shrunk."""
        return resize_short_side(super().image(position), self._side)


def trained(study: Study) -> dict[Run, float]:
    """Test accuracy of the first seed's runs whose weights were kept."""
    rows = results.read_collected(study).to_dict("records")
    runs = {Run(**{field: row[field] for field in RUN_FIELDS}): row["acc1"] for row in rows}
    first = study.config.seeds[0]
    return {
        run: acc1
        for run, acc1 in runs.items()
        if run.seed == first and study.run_files(run).weights.exists()
    }


def difference(store: Store, shrunk: Store, view: Evaluator) -> float:
    """Mean absolute difference of the test views, in levels of 0 to 255."""
    found = []
    for position in store.indices("test"):
        one, other = (view.pixels(each.image(position)).float() for each in (store, shrunk))
        found.append((one - other).abs().mean().item())
    return float(np.mean(found))


def tested(study: Study, run: Run, store: Store) -> Evaluated:
    """What a trained model says of a store's test images."""
    recipe = study.recipe(run)
    model = create(recipe.architecture, recipe.image_size, len(store.classes))
    load_model(model, study.run_files(run).weights)
    positions = store.indices("test")
    (found,) = evaluate_each([model], store, positions, Evaluator(recipe), torch.device("cpu"))
    return found


def measure() -> pd.DataFrame:
    """What was measured, a column for each short side."""
    study = Study.load([CONFIG])
    runs = trained(study)
    folder = study.store("grocery")
    stores = {"as decoded": Store(folder)}
    stores |= {f"{side} px": Shrunk(folder, side) for side in SIDES}
    whole = stores["as decoded"]
    view = Evaluator(study.recipe(next(iter(runs))))
    rows = {
        "test views: mean absolute difference, levels of 255": [
            f"{difference(whole, store, view):.2f}" for store in stores.values()
        ]
    }
    for run, acc1 in runs.items():
        title = METHODS[run.method].title
        if METHODS[run.method].grid:
            title += f", λ {run.lam:g}"
        said = [tested(study, run, store) for store in stores.values()]
        if abs(said[0].acc1 - acc1) > 1e-6:
            raise GtaError(f"{run.name}: {said[0].acc1} now, {acc1} when it was trained")
        changed = [100 * np.mean(each.prediction != said[0].prediction) for each in said]
        rows |= {
            f"{title}: test accuracy, %": [f"{each.acc1:.2f}" for each in said],
            f"{title}: answers that change, %": [f"{share:.2f}" for share in changed],
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(stores))


def write() -> None:
    """Measure, and write the table.

    Raises:
        GtaError: if the study's results or its prepared dataset are missing.
    """
    fill_section(PAGE, COMMAND, SOURCES, measure().to_markdown(disable_numparse=True))
