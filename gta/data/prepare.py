"""Preparation of a dataset's store from its origin: rendering, archives or a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

from gta.data import rendered
from gta.data.contents import (
    NOTE,
    Contents,
    check_distinct,
    contents_of,
    file_digests,
    is_current,
    listing_of,
    write_seen,
)
from gta.data.fetch.archives import mark_used
from gta.data.fetch.obtain import Watch, discard, obtain
from gta.data.photographs import Photographs, Progress
from gta.data.readers import OWN, Listing, check_classes, check_contents, check_counts
from gta.data.store import Item, Store, write
from gta.files import path_lock
from gta.study import Study


def prepare(
    study: Study,
    dataset: str,
    progress: Progress | None = None,
    watch: Watch | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Store:
    """Make the store of a dataset with the study's settings.

    A store that exists is kept, unless the user's files that it was made from have changed. One
    process at a time prepares a dataset; others wait for it and use its store.

    Args:
        study: the study; it need not train on the dataset.
        dataset: a name of the catalog, or of the config's ``own_datasets``.
        progress: called with the images done and the total.
        watch: gives the callback for the transfer of an archive.
        on_wait: called once if another process prepares the dataset.

    Raises:
        GtaError: if there is no such dataset, its images are not available or one of them is
            damaged, or its counts are not the published ones.
    """
    folder = study.store(dataset)
    if _is_ready(study, dataset):  # without the lock, which a read-only store cannot hold
        return Store(folder)
    with path_lock(folder, on_wait):
        if _is_ready(study, dataset):
            return Store(folder)
        if study.dataset_info(dataset).kind == "procedural":
            return _render(study, dataset, progress)
        return _read(study, dataset, progress, watch)


def _is_ready(study: Study, dataset: str) -> bool:
    return (study.store(dataset) / "store.json").exists() and is_current(study, dataset)


def _read(study: Study, dataset: str, progress: Progress | None, watch: Watch | None) -> Store:
    info, folder = study.dataset_info(dataset), study.store(dataset)
    origin = obtain(study, dataset, watch)
    listing = listing_of(study, dataset, origin.folder)
    images = study.config.images
    if images.counts == "published":
        if info.counts is not None:
            check_counts(listing, info.counts, dataset)
        if origin.contents is not None:
            check_contents(listing, origin.contents, dataset)
    # Before the images are read: a file that changes meanwhile is noticed at the next start.
    contents = None if origin.temporary else _contents(study, dataset, listing)
    photographs = Photographs(listing, folder, study.short_side(dataset))
    photographs.decode(progress, leave_out=images.damaged == "leave_out")
    if photographs.damaged:
        all_splits = info.reader == OWN
        where = f"{dataset}, without {len(photographs.damaged)} damaged images"
        check_classes(listing.classes, photographs.kept, where, all_splits=all_splits)
    notes = {"origin": origin.record, "left_out": photographs.damaged}
    if contents is not None:
        write_seen(folder, contents.fingerprint)
        notes[NOTE] = asdict(contents)
    store = write(folder, dataset, listing.classes, photographs.items(), notes)
    photographs.discard()
    mark_used(origin.archives)
    discard(origin)
    return store


def _contents(study: Study, dataset: str, listing: Listing) -> Contents:
    info, digests = study.dataset_info(dataset), file_digests(listing)
    if info.reader == OWN and not info.keeps_duplicates:
        check_distinct(listing, digests)
    return contents_of(listing, digests)


def _render(study: Study, dataset: str, progress: Progress | None) -> Store:
    settings = study.config.procedural
    images = rendered.render(
        dataset,
        settings.seed,
        per_class=settings.train_per_class or rendered.PER_CLASS,
        heldout_images=settings.heldout_images or rendered.HELDOUT_IMAGES,
        test_images=settings.test_images or rendered.TEST_IMAGES,
        progress=progress,
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
