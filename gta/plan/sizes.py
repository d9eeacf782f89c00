"""Number of images of a dataset, before and after it is prepared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from gta.data import rendered
from gta.data.splits import count
from gta.data.store import Store
from gta.study import Run, Study

# Height and width of PASCAL VOC's images, and of most photographs that were gathered from the web.
PHOTOGRAPH = (375, 500)


@dataclass(frozen=True)
class Size:
    """Images of a dataset.

    Attributes:
        train: training images of each class.
        test: test images.
        heldout: of a held-out split of its own.
    """

    train: tuple[int, ...]
    test: int
    heldout: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.train)

    @property
    def images(self) -> int:
        """All of them."""
        return sum(self.train) + self.test + self.heldout


def size_of(study: Study, dataset: str) -> Size | None:
    """The size of a dataset: of its store, or as its makers publish it; None if neither is there.

    Published are the sums alone: classes are then taken to be equally large.

    Raises:
        GtaError: if the study does not know the dataset, or its store is damaged.
    """
    info, folder = study.dataset_info(dataset), study.store(dataset)
    if (folder / "store.json").exists():
        store = Store(folder)
        train = np.bincount(store.labels[store.indices("train")], minlength=len(store.classes))
        rest = (len(store.indices(split)) for split in ("test", "heldout"))
        return Size(tuple(train.tolist()), *rest)
    if info.kind == "procedural":
        own = study.config.procedural
        return Size(
            (own.train_per_class or rendered.PER_CLASS,) * rendered.CLASSES,
            own.test_images or rendered.TEST_IMAGES,
            own.heldout_images or rendered.HELDOUT_IMAGES,
        )
    if info.counts is None:
        return None
    even, larger = divmod(info.counts.train, info.counts.classes)
    of_class = tuple(even + (label < larger) for label in range(info.counts.classes))
    return Size(of_class, info.counts.test, info.counts.heldout)


def heldout_of(study: Study, run: Run, size: Size) -> int:
    """Number of held-out images of a run; see ``gta.data.splits``."""
    return size.heldout or min(study.config.split.heldout, _left_out(size, run.rate))


@cache
def _left_out(size: Size, rate: float) -> int:
    """Training images that a rate does not take."""
    return sum(images - count(images, rate) for images in size.train)


def picture_of(study: Study, dataset: str) -> tuple[int, int]:
    """Height and width that most images of a dataset have in its store; a guess for photographs.

    Raises:
        GtaError: if the study does not know the dataset.
    """
    if study.dataset_info(dataset).kind == "procedural":
        return rendered.SIZE, rendered.SIZE
    height, width = PHOTOGRAPH
    side = study.short_side(dataset) or height
    return side, round(side * width / height)
