"""A look at a dataset's own files before they are prepared."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gta.data.contents import check_distinct, file_digests, listing_of
from gta.data.images import decode, decode_mask, quiet
from gta.data.photographs import Progress
from gta.data.readers import OWN, Entry, Listing, check_counts
from gta.errors import GtaError, listed
from gta.study import Study


@dataclass(frozen=True)
class Inspection:
    """Contents of a dataset's files.

    Attributes:
        listing: the images.
        damaged: names and faults of the images and masks that cannot be decoded.
    """

    listing: Listing
    damaged: list[str]


def inspect_files(
    study: Study, dataset: str, folder: Path, progress: Progress | None = None
) -> Inspection:
    """List a dataset's images, compare them with what is published, and decode each.

    Args:
        study: the study.
        dataset: a name of the catalog, or of the config's ``own_datasets``.
        folder: where its files lie; or its CSV file.
        progress: called with the images done and the total.

    Raises:
        GtaError: if the images cannot be listed, their number is not the published one, or one
            of a dataset of the user's own stands in several splits or classes.
    """
    info, listing = study.dataset_info(dataset), listing_of(study, dataset, folder)
    if info.counts is not None and study.config.images.counts == "published":
        check_counts(listing, info.counts, dataset)
    if info.reader == OWN and not info.keeps_duplicates:
        check_distinct(listing, file_digests(listing))
    damaged: list[str] = []
    with quiet(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, fault in enumerate(pool.map(_fault, listing.entries), start=1):
            if fault is not None:
                damaged.append(fault)
            if progress is not None:
                progress(done, len(listing.entries))
    return Inspection(listing, damaged)


def require_sound(inspection: Inspection) -> None:
    """Check that no image is damaged.

    Raises:
        GtaError: naming all damaged images.
    """
    if inspection.damaged:
        raise GtaError(
            f"{len(inspection.damaged)} of {len(inspection.listing.entries)} images cannot be "
            f"used: {listed(inspection.damaged, len(inspection.damaged))}",
            remedy="get them again or remove them, or leave them out by "
            "`images: {damaged: leave_out}` in the config",
        )


def _fault(entry: Entry) -> str | None:
    try:
        decode(entry.path, entry.name, crop_bottom=entry.crop_bottom)
        if entry.mask is not None:
            decode_mask(entry.mask, f"mask of {entry.name}")
    except GtaError as error:
        return str(error)
    return None
