"""What is measured on: the paper's study on a GPU, or a tiny one that tries the commands out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.inputs import archive, pictures, write_jpegs, write_store, write_weights
from benchmarks.machine import ROOT
from gta.data.store import Store
from gta.study import Study

DATASET = "pet"
CLASSES = 37
UNIQUE = 128  # pictures; a store holds them over and over, because their content takes no time
# Left out: the loops that are compared with ours do without, and mixing takes no time on a GPU.
MIXING = ("repeated_augmentation", "base_mix", "mixup_cutmix")


@dataclass(frozen=True)
class Scale:
    """Sizes of models, batches and data.

    Attributes:
        architecture: of the models.
        side: of their images, pixels.
        batch: training images in a step.
        jpeg_side: longer side of the JPEGs that other projects' loops read.
        short_side: of the images in the store.
        train, test: number of images.
        mask_views: number of images whose attention is compared with masks.
        product: side of the matrices whose product gives the card's peak.
        source: the only one; None for the paper's three.
    """

    architecture: str
    side: int
    batch: int
    jpeg_side: int
    short_side: int
    train: int
    test: int
    mask_views: int
    product: int
    source: str | None = None


PAPER = Scale("vit_small_patch16_224", 224, 768, 500, 320, 1536, 3072, 1024, 8192)
# As config/flowers.yaml: steps so small that launching their kernels takes longest.
SMALL = Scale("vit_small_patch14_dinov2", 112, 32, 256, 256, 256, 64, 16, 8192, "dinov2")
TINY = Scale("vit_mini_patch8", 48, 8, 100, 64, 24, 16, 16, 64, "tiny_ibot")


def content(scale: Scale, study: str, lambdas: int = 4, **recipe: Any) -> dict[str, Any]:
    """The paper's study of one dataset, rate and seed, without mixing; some keys replaced.

    Args:
        scale: the sizes.
        study: its name.
        lambdas: of GTA.
        recipe: keys to replace.
    """
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text(encoding="utf-8"))
    plain = {key: value for key, value in paper.pop("recipe").items() if key not in MIXING}
    paper.pop("recipe_sources", None)
    methods = paper["methods"]
    if lambdas != len(methods["gta"]["grid"]):
        methods["gta"]["grid"] = [round(0.1 * (1 + i), 1) for i in range(lambdas)]
    sizes = {
        "architecture": scale.architecture,
        "image_size": scale.side,
        "batch_size": scale.batch,
        # never reached: a measurement ends the run
        "iterations": 1_000_000,
        "lr": 1e-6,
        "min_lr": 0.0,
        "evaluation": {"resize": scale.side * 8 // 7, "interpolation": "bicubic"},
    }
    changed = {
        "study": study,
        "datasets": [DATASET],
        "rates": [100],
        "seeds": [0],
        "tables_file": str(ROOT / "config" / "tables.yaml"),
        "images": {"short_side": scale.short_side},
        "split": {"heldout": 0},
        "checkpoint_seconds": 1e6,
        "keep_weights": "none",
        "tables": ["table2", "table3", "table5", "table6"],
        "figures": [],
        "figure_settings": {},
        "segmentation": {},
        "recipe": plain | sizes | recipe,
    }
    if scale.source is not None:
        changed |= {"sources": {"main": scale.source}, "tables": ["table2"]}
    return paper | changed


class Data:
    """Images, as a store and as JPEGs, and random weights, in the working folder."""

    def __init__(self, scale: Scale) -> None:
        """Write the store and the weights; JPEGs when they are asked for."""
        self.scale = scale
        self.kind = "grocery photographs" if archive() else "synthetic images"
        self._pictures = pictures(min(UNIQUE, scale.train), scale.jpeg_side)
        study = Study(content(scale, "data"))
        count = scale.train + scale.test
        images = [self._pictures[i % len(self._pictures)] for i in range(count)]
        splits = ["train"] * scale.train + ["test"] * scale.test
        self.store: Store = write_store(
            images, study.store(DATASET), CLASSES, splits, scale.short_side
        )
        write_weights(study)

    def jpegs(self, count: int) -> Path:
        """A folder of JPEGs, a folder a class."""
        folder = Path("jpegs").resolve()
        if not folder.exists():
            images = [self._pictures[i % len(self._pictures)] for i in range(count)]
            write_jpegs(images, folder, CLASSES)
        return folder


def noise(scale: Scale, images: int) -> np.ndarray:
    """Random pixels, (images, side, side, 3) uint8."""
    shape = (images, scale.side, scale.side, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
