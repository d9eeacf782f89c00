"""What no config refers to any more, among results and prepared data."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gta import results
from gta.errors import GtaError
from gta.files import is_held
from gta.results.retire import prune
from gta.results.writers import lock_of
from gta.study import RUN_FIELDS, Run, Study

RESULTS = Path("results")


class What(StrEnum):
    """Kinds of what can go."""

    retired = "retired"
    runs = "runs"
    weights = "weights"
    checkpoints = "checkpoints"
    pages = "pages"
    stores = "stores"
    unpacked = "unpacked"


ABOUT = {
    What.retired: "results that `gta rerun` set aside",
    What.runs: "results and logs of runs that the study no longer has",
    What.weights: "trained weights that the study no longer keeps",
    What.checkpoints: "checkpoints of runs that are done, and damaged files",
    What.pages: "tables and figures that the study no longer has",
    What.stores: "prepared data sets and sources of other settings",
    What.unpacked: "unpacked archives of data sets that are prepared",
}


@dataclass(frozen=True)
class Item:
    """A file or folder that no config refers to.

    Attributes:
        what: its kind.
        path: where it lies.
        root: the folder up to which folders go that are empty then.
        size: in bytes.
    """

    what: What
    path: Path
    root: Path
    size: int


def unused(studies: Sequence[Study], others: Sequence[Study] = ()) -> list[Item]:
    """What none of the studies refers to.

    Args:
        studies: whose results are looked through, and whose prepared data are kept.
        others: whose prepared data are kept too.
    """
    found = [item for study in studies for item in _of_results(study)]
    if studies:
        found += _of_stores(studies[0].store_root, [*studies, *others])
    return found


def strangers(studies: Iterable[Study]) -> list[Path]:
    """Results folders of studies that are not among these."""
    known = {study.folder for study in studies}
    return sorted(path for path in RESULTS.glob("*/") if path not in known)


def recorded(folder: Path) -> Study | None:
    """The study that a results folder is of, by the config that its last Snakemake wrote there."""
    try:
        return Study.load([folder / "config.yaml"])
    except GtaError:
        return None


def remove(item: Item) -> None:
    """Delete a file or folder, and the folders that are empty then.

    Raises:
        GtaError: if it cannot be deleted.
    """
    try:
        if item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
    except OSError as error:
        raise GtaError(
            f"{error.filename or item.path}: cannot be deleted: {error.strerror}"
        ) from None
    prune(item.path.parent, item.root)


def _of_results(study: Study) -> Iterator[Item]:
    folder = study.folder
    for path in sorted(folder.glob("retired/*")):
        yield _item(What.retired, path, folder)
    runs = {run.name: run for run in study.runs}
    for path in sorted(folder.glob("/".join(["*", *(f"{field}=*" for field in RUN_FIELDS)]))):
        kind, *parts = path.relative_to(folder).parts
        run = runs.get("/".join(parts).removesuffix(".lock"))
        if run is not None:
            yield from _of_run(study, run, kind, path)
        elif not is_held(_lock_beside(folder, parts)):
            yield _item(What.runs, path, folder)
    logs = {folder / "logs" / "train" / f"{pack.name}.log" for pack in study.packs}
    for path in sorted((folder / "logs" / "train").rglob("*.log")):
        if path not in logs:
            yield _item(What.runs, path, folder)
    for kind, has in (("tables", study.tables), ("figures", study.figures)):
        for path in sorted(folder.glob(f"{kind}/*")):
            if path.name.partition(".")[0] not in has:
                yield _item(What.pages, path, folder)


def _lock_beside(folder: Path, parts: Sequence[str]) -> Path:
    return folder.joinpath("locks", *parts[:-1], f"{parts[-1].removesuffix('.lock')}.lock")


def _of_run(study: Study, run: Run, kind: str, path: Path) -> Iterator[Item]:
    """What may go of a run that the study has."""
    if is_held(lock_of(study, run)):
        return
    if kind == "models" and not study.keeps_weights(run):
        yield _item(What.weights, path, study.folder)
    if kind == "checkpoints" and results.state_of(study, run).state == "done":
        yield _item(What.checkpoints, path, study.folder)
    else:
        for damaged in sorted(path.glob("*damaged.*")):
            yield _item(What.checkpoints, damaged, study.folder)


def _of_stores(root: Path, studies: Sequence[Study]) -> Iterator[Item]:
    wanted: set[Path] = set()
    unmade: set[str] = set()  # data sets whose unpacked archives are still to be read
    for study in studies:
        for dataset in datasets_of(study):
            store = study.store(dataset)
            wanted.add(store)
            if not (store / "store.json").exists():
                unmade.add(dataset)
        wanted |= {study.weights(source) for source in study.config.sources.values()}
    for path in sorted([*root.glob("*/"), *root.glob("sources/*.safetensors")]):
        if _KEYED.fullmatch(path.name) and path not in wanted:
            yield _item(What.stores, path, root)
    for path in sorted(root.glob("unpacked/*/")):
        name = path.name.removeprefix(".").removesuffix(".unpacking")
        dataset = name.rpartition("-")[0]
        if dataset not in unmade and not is_held(path.with_name(f".{name}.lock")):
            yield _item(What.unpacked, path, root)


# How `Study.store` and `Study.weights` end their names.
_KEYED = re.compile(r".+-[0-9a-f]{12}((\.damaged)?\.safetensors)?")


def datasets_of(study: Study) -> set[str]:
    """The data sets that a study trains on or takes masks from."""
    masks = study.config.segmentation.dataset
    return {*study.config.datasets, *([masks] if masks else [])}


def _item(what: What, path: Path, root: Path) -> Item:
    return Item(what, path, root, size_of(path))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names
    )
