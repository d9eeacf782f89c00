"""How much of its time training waits for images: ViT-S/16 at 224 with RandAugment."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.figures import Figure
from benchmarks.inputs import pictures, working_folder, write_store, write_weights
from benchmarks.machine import cores
from benchmarks.measures.step import STUDY
from gta.data.batches.augment import Augmenter
from gta.data.batches.loader import Loader
from gta.data.store import Store
from gta.study import Study
from gta.train.inputs import SourceWeights, open_source
from gta.train.learner import Learner
from gta.train.lockstep import step_alone

REPEATS = 2
STEPS, IMAGES, CLASSES = 3, 64, 8
AUGMENT = {"crop": "random_resized_crop", "randaugment": "rand-m9-mstd0.5-inc1"}


def measure(repeats: int) -> list[Figure]:
    """Fine-tuning steps, of which each begins with its batch: made then, or beforehand."""
    torch.set_num_threads(cores())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store") as folder:
        study = Study(STUDY | {"recipe": STUDY["recipe"] | {"augment": AUGMENT}})
        write_weights(study)
        store = write_store(
            pictures(IMAGES, 500), folder / "images", CLASSES, ["train"] * IMAGES, 320
        )
        run = next(run for run in study.runs if run.method == "finetune")
        source = SourceWeights(open_source(study, run.source), study.recipe(run), device)
        learner = Learner.of(study, run, CLASSES, source, device)
        rows = []
        ways = (("wait", 0, "made when asked for"), ("wait_ahead", 2, "begun two steps before"))
        for name, ahead, how in ways:
            shares = tuple(_share(learner, store, ahead) for _ in range(repeats))
            what = f"share of a ViT-S/16's training on {device.type} that waits for images, {how}"
            rows.append(Figure(name, what, shares))
        return rows


def _share(learner: Learner, store: Store, ahead: int) -> float:
    """Seconds that ``Loader.batch`` took over all seconds, after a step that warms up."""
    recipe, device = learner.recipe, learner.device
    augmenter = Augmenter(recipe, seed=0)
    everything = np.arange(IMAGES)
    with Loader(store, everything, augmenter, recipe.batch_size, cores(), ahead) as loader:
        for iteration in range(STEPS + 1):
            if iteration == 1:
                begin, before = time.perf_counter(), loader.waited
            images, labels = loader.batch(iteration)
            generator = torch.Generator().manual_seed(iteration)
            step_alone(learner, learner.mix(images.to(device), labels.to(device), generator))
        return (loader.waited - before) / (time.perf_counter() - begin)
