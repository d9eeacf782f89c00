"""Origin of a dataset's files: a folder, archives placed by hand, or the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gta.catalog import BSS_LISTS, Archive, DatasetInfo, Form
from gta.data import split_lists as bss
from gta.data.fetch.archives import Checked, Progress, check, find
from gta.data.fetch.unpack import remove_unpacked, unpack
from gta.errors import GtaError
from gta.files import write_text
from gta.study import Study

# Gives the callback that shows how far the fetching or unpacking of what it names is, in bytes.
Watch = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Origin:
    """A dataset's files, ready to be read.

    Attributes:
        folder: that its reader gets.
        record: what it was made of, for the store's notes.
        temporary: whether the folder was unpacked here and may go when the store is made.
        contents: digest of the files that it must hold; None if the archives' own were checked.
        archives: that it was unpacked from.
    """

    folder: Path
    record: list[dict[str, Any]]
    temporary: bool = False
    contents: str | None = None
    archives: tuple[Checked, ...] = ()


def obtain(study: Study, dataset: str, watch: Watch | None = None) -> Origin:
    """Return the folder of a dataset; unpack or fetch its archives if needed.

    A folder that was unpacked by hand in the archive folder is taken as it is.

    Raises:
        GtaError: if the files are not available, or one is not the published one.
    """
    placed = folder_of(study, dataset)
    if placed is not None:
        return Origin(placed, [{"folder": str(placed)}])
    checked = fetch_archives(study, dataset, watch)
    digests = hashlib.sha256("".join(one.sha256 for one in checked.values()).encode()).hexdigest()
    target = study.store_root / "unpacked" / f"{dataset}-{digests[:12]}"
    with watch(f"unpack {dataset}") if watch is not None else nullcontext() as progress:
        unpack([one.path for one in checked.values()], target, progress, list(checked))
    form = choose_form(study.dataset_info(dataset), study.archives_root, dataset)
    archives = tuple(checked.values())
    return Origin(target, records_of(archives), True, form.contents, archives)


def discard(origin: Origin) -> None:
    """Remove what ``obtain`` unpacked."""
    if origin.temporary:
        remove_unpacked(origin.folder)


def folder_of(study: Study, dataset: str) -> Path | None:
    """The folder (or the config's own CSV) that holds a dataset without archives.

    Raises:
        GtaError: if the config names one that is not there.
    """
    info = study.dataset_info(dataset)
    placed = study.placed_folder(dataset)
    if dataset in study.config.own_datasets:
        if not placed.exists():
            raise GtaError(f"{placed}: missing; own_datasets.{dataset}.path names it")
        return placed
    return placed if info.folder and placed.is_dir() else None


def fetch_archives(study: Study, dataset: str, watch: Watch | None = None) -> dict[str, Checked]:
    """Find or fetch the archives of a dataset, check them, and record them.

    With them come its published split lists, where the study trains on those. The record,
    ``archives/<dataset>.json`` in the store folder, is what the workflow asks for.

    Returns:
        The archives by their published names.

    Raises:
        GtaError: if one is not available, or is not the published one.
    """
    root, info = study.archives_root, study.dataset_info(dataset)
    form = choose_form(info, root, dataset)
    placed = [archive for archive in form.optional if find(archive, root)]
    checked = {
        archive.file: _fetch(study, archive, root, watch) for archive in (*form.archives, *placed)
    }
    lists = fetch_lists(study, info, watch)
    write_record(study, dataset, records_of([*checked.values(), *lists]))
    return checked


def fetch_lists(study: Study, info: DatasetInfo, watch: Watch | None = None) -> list[Checked]:
    """Find or fetch a dataset's published split lists, if the study takes its splits from them.

    Raises:
        GtaError: if one is not available, is not the published one, or none is published.
    """
    if study.config.split.kind != "bss":
        return []
    if info.bss is None:
        raise GtaError(f"{info.title}: there are no published split lists; take split kind random")
    names = dict.fromkeys(name for rate in bss.RATES for name in bss.files(info.bss, rate))
    folder = study.archives_root / "bss"
    return [_fetch(study, study.expected(BSS_LISTS[name]), folder, watch) for name in names]


def _fetch(study: Study, archive: Archive, folder: Path, watch: Watch | None) -> Checked:
    from gta.data.fetch.download import fetch  # imports requests

    digests = study.store_root / "digests"
    with watch(archive.file) if watch is not None else nullcontext() as progress:
        path = fetch(archive, folder, digests, progress)
    return check(archive, path, digests)


def write_record(study: Study, dataset: str, record: list[dict[str, Any]]) -> Path:
    """Write down what a dataset's files are."""
    path = study.store_root / "archives" / f"{dataset}.json"
    write_text(path, json.dumps(record, indent=1) + "\n")
    return path


def choose_form(info: DatasetInfo, root: Path, dataset: str) -> Form:
    """The first form whose archives all lie in ``root``, else the first that can be completed.

    Raises:
        GtaError: if no form can be; it says which files to place where.
    """
    for form in info.forms:
        if all(find(archive, root) for archive in form.archives):
            return form
    for form in info.forms:
        if all(archive.urls or find(archive, root) for archive in form.archives):
            return form
    if not info.forms:
        raise GtaError(f"{dataset}: is not read from archives")
    missing = [
        archive.file
        for archive in info.forms[0].archives
        if not archive.urls and not find(archive, root)
    ]
    raise GtaError(f"{dataset}: {', '.join(missing)} missing in {root}; {info.hint}")


def records_of(checked: Iterable[Checked]) -> list[dict[str, Any]]:
    """Name, size, digests and what they were compared with, for each archive."""
    return [
        {
            "file": one.path.name,
            "size": one.size,
            "md5": one.md5,
            "sha256": one.sha256,
            "verified": one.verified,
        }
        for one in checked
    ]
