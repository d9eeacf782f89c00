"""Whether a prepared dataset still matches the user's files that it was made from.

A store made from a folder or a CSV file records the state of those files in its notes. Renders
and archives are not covered: their stores are named by seed, or their files have digests.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gta.data.fetch.obtain import folder_of
from gta.data.readers import Entry, Listing, MaskIds, read
from gta.data.store import read_about, write_notes
from gta.errors import GtaError, listed
from gta.files import file_digest, is_writable, write_text
from gta.study import Study

NOTE = "files"  # key of a store's notes
SEEN = "files.txt"  # in a store's folder: the fingerprint that Snakemake compares


@dataclass(frozen=True)
class Contents:
    """State of the files of a dataset.

    Attributes:
        fingerprint: of their names, labels, splits, sizes and times; cheap to compute.
        digest: of their names, labels, splits and bytes.
    """

    fingerprint: str
    digest: str


def listing_of(study: Study, dataset: str, folder: Path) -> Listing:
    """List the images of a dataset in a folder (or CSV file), with the config's mask values.

    Raises:
        GtaError: as ``gta.data.readers.read``.
    """
    info = study.dataset_info(dataset)
    listing = read(info.reader, folder, info.drawn)
    if info.mask_void is not None:
        listing = replace(listing, mask_ids=MaskIds(void=frozenset({info.mask_void})))
    return listing


def contents_of(listing: Listing, digests: Mapping[Path, str] | None = None) -> Contents:
    """State of a listing's files; reads all of them, unless their digests are given."""
    state = fingerprint(listing)  # before they are read
    found = file_digests(listing) if digests is None else digests
    return Contents(state, _digest(listing, found.__getitem__))


def check_distinct(listing: Listing, digests: Mapping[Path, str]) -> None:
    """Check that no image stands in two splits or two classes, by the bytes of its file.

    Raises:
        GtaError: naming the images.
    """
    same: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing.entries:
        same[digests[entry.path]].append(entry)
    twice = [
        " = ".join(entry.name for entry in entries)
        for entries in same.values()
        if len({(entry.split, entry.label) for entry in entries}) > 1
    ]
    if twice:
        raise GtaError(
            f"{len(twice)} images stand in more than one split or class: {listed(twice)}",
            remedy="remove all but one of each, or accept them by `duplicates: keep` in the "
            "dataset's stanza of the config",
        )


def file_digests(listing: Listing) -> dict[Path, str]:
    """SHA-256 of each image and mask file.

    Raises:
        GtaError: if a file cannot be read.
    """
    paths = list(_paths(listing))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(paths, pool.map(file_digest, paths), strict=True))


def fingerprint(listing: Listing) -> str:
    """Digest of names, labels, splits, and of each file's size, mtime and ctime.

    Raises:
        GtaError: if a file is missing.
    """

    def stamp(path: Path) -> str:
        try:
            status = path.stat()
        except OSError as error:
            raise GtaError(f"{path}: cannot be read: {error.strerror}") from None
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    return _digest(listing, stamp)


def _digest(listing: Listing, of_file: Callable[[Path], str]) -> str:
    lines = [repr((listing.classes, listing.mask_ids))]
    for entry in listing.entries:
        files = [of_file(path) for path in (entry.path, entry.mask) if path is not None]
        lines.append(repr((entry.name, entry.label, entry.split, entry.crop_bottom, files)))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _paths(listing: Listing) -> Iterator[Path]:
    for entry in listing.entries:
        yield entry.path
        if entry.mask is not None:
            yield entry.mask


def is_current(study: Study, dataset: str) -> bool:
    """Whether the files of a prepared dataset are those that its store was made from.

    Files of other times but the same content count as the same; the store then records the new
    times. True also where there is nothing to compare: rendered datasets, archives, and files
    that are not reachable from here.

    Raises:
        GtaError: if the files cannot be listed, or the store is damaged.
    """
    folder = _present(study, dataset)
    if folder is None:
        return True
    store = study.store(dataset)
    notes = read_about(store)["notes"]
    recorded = notes.get(NOTE)
    if recorded is None:
        return False  # made by a version that did not record its files
    listing = listing_of(study, dataset, folder)
    if fingerprint(listing) == recorded["fingerprint"]:
        return True
    found = contents_of(listing)
    if found.digest != recorded["digest"]:
        return False
    if is_writable(store):
        write_seen(store, found.fingerprint)
        write_notes(store, {**notes, NOTE: asdict(found)})
    return True


def require_current(study: Study, dataset: str) -> None:
    """Check ``is_current``.

    Raises:
        GtaError: if the files differ from those that the store was made from.
    """
    if not is_current(study, dataset):
        folder = folder_of(study, dataset)
        raise GtaError(
            f"{folder}: has changed since it was prepared; `gta data prepare {dataset}` or "
            "`snakemake` prepares it again, and runs on the old files become stale"
        )


def data_digest(study: Study, dataset: str) -> str | None:
    """Digest of a prepared dataset; None if it is not prepared, ``changed`` if its files differ."""
    folder = study.store(dataset)
    if not (folder / "store.json").exists():
        return None
    digest: str = read_about(folder)["digest"]
    return digest if is_current(study, dataset) else "changed"


def note_seen(study: Study, dataset: str) -> Path | None:
    """Record the present state of a dataset's files in the file that Snakemake compares.

    The file is rewritten only when the state has changed, so that its time tells Snakemake to
    prepare the dataset again.

    Returns:
        The file; None for datasets without files of the user's.

    Raises:
        GtaError: if the files cannot be listed.
    """
    store = study.store(dataset)
    folder = _present(study, dataset)
    if folder is not None and is_writable(store):
        write_seen(store, fingerprint(listing_of(study, dataset, folder)))
    return store / SEEN if (store / SEEN).exists() else None


def write_seen(store: Path, state: str) -> None:
    """Write a fingerprint into the file that Snakemake compares, if it differs."""
    path = store / SEEN
    try:
        before = path.read_text(encoding="utf-8")
    except OSError:
        before = ""
    if before != f"{state}\n":
        write_text(path, f"{state}\n")


def _present(study: Study, dataset: str) -> Path | None:
    """The folder or CSV file of a dataset's files; None if it has none, or they are not here."""
    info = study.dataset_info(dataset)
    if info.kind != "images":
        return None
    try:
        return folder_of(study, dataset)
    except GtaError:
        return None  # a config may name a folder that only another machine has
