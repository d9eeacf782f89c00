"""From a data set's origin (rendering, archives) to its store."""

from __future__ import annotations

from collections.abc import Iterator

from gta.catalog import DATASETS
from gta.data import procedural
from gta.data.store import Item, Store, write
from gta.errors import GtaError
from gta.study import Study


def prepare(study: Study, dataset: str) -> Store:
    """Make the store of one of the study's data sets; a store that is there is kept.

    Raises:
        GtaError: if the study has no such data set, or its images cannot be had.
    """
    if dataset not in study.config.datasets:
        raise GtaError(
            f"study {study.name} has no data set {dataset!r}; "
            f"it has: {', '.join(study.config.datasets)}"
        )
    folder = study.store(dataset)
    if (folder / "store.json").exists():
        return Store(folder)
    if DATASETS[dataset].kind != "procedural":
        raise GtaError(f"{dataset}: this version has no reader for its archives")
    settings = study.config.procedural
    rendered = procedural.render(
        dataset,
        settings.seed,
        per_class=settings.train_per_class or procedural.PER_CLASS,
        heldout_images=settings.heldout_images or procedural.HELDOUT_IMAGES,
        test_images=settings.test_images or procedural.TEST_IMAGES,
    )
    return write(folder, dataset, rendered.classes, _items(rendered))


def _items(rendered: procedural.Rendered) -> Iterator[Item]:
    for position, split in enumerate(rendered.split):
        yield Item(
            name=f"{split}/{position:06d}",
            label=int(rendered.labels[position]),
            split=str(split),
            pixels=rendered.images[position],
            mask=rendered.masks[position],
        )
