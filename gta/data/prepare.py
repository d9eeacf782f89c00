"""From a data set's origin (rendering, archives, a folder) to its store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gta.data import rendered
from gta.data.fetch.obtain import Watch, discard, obtain
from gta.data.photographs import Photographs, Progress
from gta.data.readers import MaskIds, check_contents, check_counts, read
from gta.data.store import Item, Store, write
from gta.study import Study


def prepare(
    study: Study,
    dataset: str,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Store:
    """Make the store of a data set with the study's settings; a store that is there is kept.

    Args:
        study: the study; it need not train on the data set.
        dataset: a name of the catalog, or of the config's ``own_datasets``.
        progress: called with images done and images in all.
        watch: gives the callback for the transfer of an archive.

    Raises:
        GtaError: if there is no such data set, its images cannot be had or one of them is
            damaged, or its counts are not the published ones.
    """
    info = study.dataset_info(dataset)
    folder = study.store(dataset)
    if (folder / "store.json").exists():
        return Store(folder)
    if info.kind == "procedural":
        return _render(study, dataset)
    origin = obtain(study, dataset, watch)
    listing = read(info.reader, origin.folder)
    images = study.config.images
    if info.mask_void is not None:
        listing = replace(listing, mask_ids=MaskIds(void=frozenset({info.mask_void})))
    if images.counts == "published":
        if info.counts is not None:
            check_counts(listing, info.counts, dataset)
        if origin.contents is not None:
            check_contents(listing, origin.contents, dataset)
    leave_out = images.damaged == "leave_out"
    photographs = Photographs(listing, folder, study.short_side(dataset), leave_out)
    photographs.decode(progress)
    # Read while `write` runs: what was left out is known when the last image was read.
    notes = {"origin": origin.record, "left_out": photographs.damaged}
    store = write(folder, dataset, listing.classes, photographs.items(), notes)
    photographs.discard()
    discard(origin)
    return store


def _render(study: Study, dataset: str) -> Store:
    settings = study.config.procedural
    images = rendered.render(
        dataset,
        settings.seed,
        per_class=settings.train_per_class or rendered.PER_CLASS,
        heldout_images=settings.heldout_images or rendered.HELDOUT_IMAGES,
        test_images=settings.test_images or rendered.TEST_IMAGES,
    )
    return write(study.store(dataset), dataset, images.classes, _items(images))


def _items(images: rendered.Rendered) -> Iterator[Item]:
    for position, split in enumerate(images.split):
        yield Item(
            name=f"{split}/{position:06d}",
            label=int(images.labels[position]),
            split=str(split),
            pixels=images.images[position],
            mask=images.masks[position],
        )
