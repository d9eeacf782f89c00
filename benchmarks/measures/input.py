"""Images a second on one core: the store against a folder of JPEGs with timm's transforms."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.figures import Figure, in_turn
from benchmarks.inputs import archive, pictures, write_jpegs, write_store
from gta.data.batches.augment import Augmenter
from gta.study import Recipe

REPEATS = 7
IMAGES, BATCH, CLASSES = 96, 16, 8
LONG_SIDE, SHORT_SIDE = 500, 320  # of the JPEGs, as in most datasets; of paper.yaml's store
# Without deviation of its strength: with one, Pillow refuses what timm now and then asks for.
RANDAUGMENT = "rand-m9-inc1"


def measure(repeats: int) -> list[Figure]:
    """Both ways to a batch of random-resized crops of 224 pixels, flipped and normalised."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder:
            return _measure(repeats, Path(folder))
    finally:
        torch.set_num_threads(threads)


def _measure(repeats: int, folder: Path) -> list[Figure]:
    from timm.data import create_transform
    from torchvision.datasets import ImageFolder

    images = pictures(IMAGES, LONG_SIDE)
    jpegs = write_jpegs(images, folder / "jpegs", CLASSES)
    store = write_store(images, folder / "store", CLASSES, ["train"] * IMAGES, SHORT_SIDE)
    kind = "grocery photographs" if archive() else "synthetic images"
    rows = []
    for name, policy, goal in (("input", None, 4.0), ("input_randaugment", RANDAUGMENT, 2.0)):
        augmenter = Augmenter(_recipe(policy), seed=0)
        transform = create_transform(
            224,
            is_training=True,
            scale=augmenter.augment.scale,
            ratio=augmenter.augment.ratio,
            hflip=augmenter.augment.flip,
            color_jitter=0.0,
            auto_augment=policy,
            interpolation=augmenter.augment.interpolation,
        )
        files = ImageFolder(str(folder / "jpegs"), transform)

        def ours(augmenter: Augmenter = augmenter) -> None:
            for at in range(0, IMAGES, BATCH):
                augmenter(store.images(range(at, at + BATCH)), at)

        def theirs(files: ImageFolder = files) -> None:
            for at in range(0, IMAGES, BATCH):
                torch.stack([files[i][0] for i in range(at, at + BATCH)])

        what = f"store / ImageFolder + timm, {'with' if policy else 'without'} RandAugment"
        pairs = in_turn(theirs, ours, repeats, time.process_time)
        rows.append(_row(name, f"{what}, {LONG_SIDE}-pixel JPEGs of {kind}", pairs, goal))

    def decode() -> None:
        for path in jpegs:
            np.asarray(Image.open(path).convert("RGB"))

    def read() -> None:
        for image in store.images(range(IMAGES)):
            np.array(image)

    pairs = in_turn(decode, read, repeats, time.process_time)
    rows.append(_row("store_access", "reading from the store / decoding the JPEG", pairs, None))
    return rows


def _row(name: str, what: str, pairs: list[tuple[float, float]], goal: float | None) -> Figure:
    """Speed of the second over speed of the first."""
    theirs, ours = (IMAGES / median(seconds) for seconds in zip(*pairs, strict=True))
    return Figure(
        name,
        f"images a second on one core: {what}",
        tuple(first / second for first, second in pairs),
        goal,
        better="higher",
        detail=f"{ours:,.0f} / {theirs:,.0f} images a second",
    )


def _recipe(policy: str | None) -> Recipe:
    return Recipe.model_validate(
        {
            "architecture": "vit_small_patch16_224",
            "image_size": 224,
            "batch_size": BATCH,
            "iterations": 1,
            "lr": 1e-4,
            "augment": {"randaugment": policy},
        }
    )
