"""Small random datasets and sources, written where a study looks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gta.data.store import Item, Store, write
from gta.study import Study

CLASSES = ("a", "b", "c", "d")
TRAIN_PER_CLASS, TEST_IMAGES = 8, 12


def random_items(
    sizes: Sequence[tuple[int, int]],
    splits: Sequence[str],
    *,
    masks: bool = True,
    seed: int = 0,
) -> list[Item]:
    """One image a size and split; classes take turns, masks are rectangles."""
    random = np.random.default_rng(seed)
    items = []
    for position, ((height, width), split) in enumerate(zip(sizes, splits, strict=True)):
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[: random.integers(1, height + 1), : random.integers(1, width + 1)] = True
        items.append(
            Item(
                name=f"{split}/{position:03d}",
                label=position % len(CLASSES),
                split=split,
                pixels=random.integers(0, 256, (height, width, 3), dtype=np.uint8),
                mask=mask if masks else None,
            )
        )
    return items


def random_store(folder: Path, side: int = 16, *, masks: bool = True, seed: int = 0) -> Store:
    """Four classes of 8 training images each, 12 test images, all square."""
    splits = ["train"] * TRAIN_PER_CLASS * len(CLASSES) + ["test"] * TEST_IMAGES
    items = random_items([(side, side)] * len(splits), splits, masks=masks, seed=seed)
    return write(folder, "random", CLASSES, items)


def voc_like_store(folder: Path, sizes: Sequence[tuple[int, int]], seed: int = 0) -> Store:
    """Test images of noise with masks of classes: rectangles of classes 3, 7 and 20, and void."""
    random = np.random.default_rng(seed)
    items = []
    for position, (height, width) in enumerate(sizes):
        mask = np.zeros((height, width), dtype=np.uint8)
        for value in (3, 7, 20)[: 1 + position % 3]:
            top, left = random.integers(0, height // 2), random.integers(0, width // 2)
            bottom, right = top + height // 3, left + width // 3
            mask[top - 1 if top else 0 : bottom + 1, left - 1 if left else 0 : right + 1] = 255
            mask[top:bottom, left:right] = value
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        items.append(Item(f"2007_{position:06d}", 2, "test", pixels, mask))
    return write(folder, "voc12", [f"class {n}" for n in range(1, 21)], items)


def random_weights(architecture: str, image_size: int, seed: int = 0) -> dict[str, Any]:
    """A backbone's weights, large enough for its attention to be far from even."""
    import torch

    from gta.models.vit import create

    model = create(architecture, image_size, num_classes=0)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
    }


def prepare_inputs(study: Study) -> None:
    """Write the study's datasets and sources."""
    from safetensors.torch import save_file

    recipe = study.config.recipe
    for seed, dataset in enumerate(study.config.datasets):
        random_store(study.store(dataset), recipe.image_size, seed=seed)
    for seed, source in enumerate(study.config.sources.values()):
        weights = random_weights(recipe.architecture, recipe.image_size, seed)
        study.weights(source).parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, study.weights(source))


def files_below(folder: Path) -> Iterator[str]:
    """Names of all files, hidden ones too, relative to the folder."""
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
