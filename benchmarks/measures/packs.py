"""Four lambdas of GTA in one job against four jobs: ViT-S at 112 pixels, as in grocery.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import yaml

from benchmarks.figures import Figure, in_turn
from benchmarks.inputs import (
    archive,
    overlaid,
    pictures,
    working_folder,
    write_store,
    write_weights,
)
from benchmarks.machine import cores
from gta.study import Run, Study
from gta.train import train_runs

REPEATS = 2
SLOW = "eight minutes"
CLASSES = 81
ITERATIONS = 8
# To as many training images as grocery's: 150 iterations, 2485 test and 500 held-out images.
TRAIN, TEST, HELDOUT = 200, round(ITERATIONS / 150 * 2485), round(ITERATIONS / 150 * 500)


def measure(repeats: int) -> list[Figure]:
    """Loading, training, testing and writing; not a process's start, which would favour packs."""
    torch.set_num_threads(cores())
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store") as folder:
        config = overlaid("grocery.yaml", folder, study="bench", **_keys())
        images = pictures(TRAIN + TEST, 192)
        splits = ["train"] * TRAIN + ["test"] * TEST
        study = Study.load([config])
        write_store(images, study.store("grocery"), CLASSES, splits, 192)
        write_weights(study)
        runs = [run for run in study.runs if run.method == "gta"]
        attempts = count()  # results of each in a folder of its own: nothing is done already

        def train(groups: Iterable[list[Run]]) -> None:
            path = folder / "attempt.yaml"
            content = study.content | {"study": f"bench{next(attempts)}"}
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
            attempt = Study.load([path])
            for group in groups:
                train_runs(attempt, group)

        pairs = in_turn(
            lambda: train([runs]), lambda: train([run] for run in runs), repeats, warm=False
        )
    pack, apart = (median(seconds) for seconds in zip(*pairs, strict=True))
    kind = "grocery" if archive() else "synthetic images"
    return [
        Figure(
            "pack_lambdas",
            f"4 lambdas of GTA in one pack / 4 jobs, ViT-S/14 at 112 on {kind}, {ITERATIONS} "
            "iterations and as many tests to each as in grocery.yaml, without process starts",
            tuple(first / second for first, second in pairs),
            goal=0.86,
            detail=f"{pack:.0f} s / {apart:.0f} s on {cores()} cores",
        )
    ]


def _keys() -> dict[str, object]:
    recipe = {
        "architecture": "vit_small_patch14_dinov2",
        "image_size": 112,
        "batch_size": 32,
        "iterations": ITERATIONS,
        "lr": 1e-4,
        "augment": {"crop": "random_resized_crop", "scale": [0.4, 1.0], "flip": 0.5},
        "evaluation": {"resize": 128, "interpolation": "bicubic"},
    }
    return {
        "recipe": recipe,
        "methods": {"gta": {"grid": [0.001, 0.01, 0.1, 1], "reduction": "sum"}},
        "rates": [50],
        "seeds": [0],
        "split": {"heldout": HELDOUT},
        "tables": ["table2"],
        "figures": [],
        "restrict": {},
        "extra_methods": [],
        "keep_weights": "none",
    }
