"""What training reads, looked at before the first iteration: no damaged file is trained on.

A damaged file is renamed ``*.damaged.*``, so that Snakemake, which goes by what is there, makes it
again; the job ends with one line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gta.data.store import Store
from gta.errors import GtaError
from gta.files import file_digest, put_away
from gta.models.sources import check_weights, read_metadata
from gta.study import Study

Opened = TypeVar("Opened")


def open_store(study: Study, dataset: str) -> Store:
    """A prepared data set, whole.

    Its pixels are read through once if a file of it is newer than ``store.json``, which was
    written last.

    Raises:
        GtaError: if it is missing or cannot be read; if it is damaged, ``store.json`` is renamed.
    """
    folder = study.store(dataset)

    def look() -> Store:
        store = Store(folder)
        written = (folder / "store.json").stat().st_mtime_ns
        if any(path.stat().st_mtime_ns > written for path in _files(folder)):
            store.verify()
        return store

    return _or_put_away(look, folder / "store.json", _files(folder))


def open_source(study: Study, name: str) -> str:
    """Digest of a prepared source's file, whose weights are those that its metadata names.

    Raises:
        GtaError: if it is missing or cannot be read; if it is damaged, it is renamed.
    """
    path = study.weights(name)

    def look() -> str:
        digest = file_digest(path)
        if "weights_digest" in read_metadata(path):
            check_weights(path)
        return digest

    return _or_put_away(look, path, [path])


def _files(folder: Path) -> list[Path]:
    names = ("store.json", "index.parquet", "pixels.bin", "masks.bin")
    return [path for path in folder.glob("*") if path.name in names]


def _may_read(file: Path) -> bool:
    return os.access(file, os.R_OK, effective_ids=True)


def _or_put_away(look: Callable[[], Opened], path: Path, files: list[Path]) -> Opened:
    try:
        return look()
    except GtaError as error:
        if not all(map(_may_read, [path, *files])):  # it is missing, or no damage
            raise
        said = str(error).partition(";")[0]
        raise GtaError(
            f"{said}; set aside as {put_away(path).name}: the next `snakemake` makes it again"
        ) from None
