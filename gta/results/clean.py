"""Find and delete results and prepared data that no config references."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gta import results
from gta.errors import GtaError
from gta.files import is_held
from gta.results import owned
from gta.results.retire import prune
from gta.study import RUN_FIELDS, RunFiles, Study

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
    leftovers = "leftovers"


ABOUT = {
    What.retired: "results that `gta rerun` set aside",
    What.runs: "results and logs of runs that the study no longer has",
    What.weights: "trained weights that the study no longer keeps",
    What.checkpoints: "checkpoints of runs that are done, and damaged files",
    What.pages: "tables and figures that the study no longer has",
    What.stores: "prepared datasets and sources of other settings",
    What.unpacked: "unpacked archives of datasets that are prepared",
    What.leftovers: "half-written files of processes that were killed",
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
    """Results and prepared data that no study references.

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
        # In a folder, rmtree names the file alone, without its folder.
        inside = f" ({error.filename})" if error.filename not in (None, str(item.path)) else ""
        raise GtaError(f"{item.path}: cannot be deleted: {error.strerror}{inside}") from None
    prune(item.path.parent, item.root)


def _of_results(study: Study) -> Iterator[Item]:
    folder = study.folder
    for path in filter(owned.is_retired, sorted(folder.glob("retired/*"))):
        yield _item(What.retired, path, folder)
    runs = {run.name: run for run in study.runs}
    for path in sorted(folder.glob("/".join(["*", *(f"{field}=*" for field in RUN_FIELDS)]))):
        kind, *parts = path.relative_to(folder).parts
        run = runs.get("/".join(parts).removesuffix(".lock"))
        if run is not None:
            yield from _of_run(study.run_files(run), kind, path)
        elif owned.is_of_run(kind, path) and not is_held(_lock_beside(folder, parts)):
            yield _item(What.runs, path, folder)
    root = folder / "logs" / "train"
    logs = {root / f"{pack.name}.log" for pack in study.packs}
    for path in sorted(root.rglob("*.log")):
        if path not in logs and owned.is_training_log(path, root):
            yield _item(What.runs, path, folder)
    for kind, has in (("tables", study.tables), ("figures", study.figures)):
        for path in sorted(folder.glob(f"{kind}/*")):
            if path.name.partition(".")[0] not in has and owned.is_page(path):
                yield _item(What.pages, path, folder)
    for place in (folder, folder / "tables", folder / "figures"):
        for path in owned.half_written(place):
            yield _item(What.leftovers, path, folder)


def _lock_beside(folder: Path, parts: Sequence[str]) -> Path:
    return folder.joinpath("locks", *parts[:-1], f"{parts[-1].removesuffix('.lock')}.lock")


def _of_run(run_files: RunFiles, kind: str, path: Path) -> Iterator[Item]:
    """Files of a run of the study that may be deleted."""
    folder = run_files.study_folder
    if is_held(run_files.lock):
        return
    if not owned.is_of_run(kind, path):
        return
    if kind == "models" and not run_files.keeps_weights:
        yield _item(What.weights, path, folder)
    elif kind == "checkpoints" and results.state_of(run_files).state == "done":
        yield _item(What.checkpoints, path, folder)
    else:
        for damaged in sorted(path.glob("*damaged.*")):
            yield _item(What.checkpoints, damaged, folder)
        for hidden in owned.half_written(path):
            yield _item(What.leftovers, hidden, folder)


def _of_stores(root: Path, studies: Sequence[Study]) -> Iterator[Item]:
    wanted: set[Path] = set()
    unmade: set[str] = set()  # datasets whose unpacked archives are still to be read
    for study in studies:
        for dataset in datasets_of(study):
            store = study.store(dataset)
            wanted.add(store)
            if not (store / "store.json").exists():
                unmade.add(dataset)
        wanted |= {study.weights(source) for source in study.config.sources.values()}
    for path in sorted(root.glob("*/")):
        if owned.KEYED.fullmatch(path.name) and not is_held(_lock_of_path(path)):
            yield from _of_store(path, root, path in wanted)
    yield from _of_sources(root, wanted)
    yield from _of_unpacked(root, unmade)


def _of_store(path: Path, root: Path, wanted: bool) -> Iterator[Item]:
    if not wanted and not path.is_symlink() and owned.is_store(path):
        yield _item(What.stores, path, root)
        return
    for left in (*owned.half_written_in_store(path), *owned.chunks_left(path)):
        yield _item(What.leftovers, left, root)


def _of_sources(root: Path, wanted: Container[Path]) -> Iterator[Item]:
    folder = root / "sources"
    for path in sorted(folder.glob("*.safetensors")):
        if (
            owned.KEYED.fullmatch(path.stem.removesuffix(".damaged"))
            and path not in wanted
            and owned.is_source(path)
        ):
            yield _item(What.stores, path, root)
    for path in sorted(folder.glob("*.file.txt")):
        source = path.with_name(f"{path.name.removesuffix('.file.txt')}.safetensors")
        if (
            owned.KEYED.fullmatch(source.stem)
            and source not in wanted
            and owned.is_file_record(path)
        ):
            yield _item(What.stores, path, root)
    for name in ("sources", "digests", "archives"):
        for path in owned.half_written(root / name):
            yield _item(What.leftovers, path, root)


def _of_unpacked(root: Path, unmade: Container[str]) -> Iterator[Item]:
    """Folders of archives, unpacked or half unpacked, and their records."""
    for record in sorted(root.glob("unpacked/*.json")):
        folder = record.with_suffix("")
        dataset = folder.name.rpartition("-")[0]
        if dataset in unmade or not owned.is_unpacked(folder) or is_held(_lock_of_path(folder)):
            continue
        for path in (folder, folder.with_name(f".{folder.name}.unpacking"), record):
            if path.exists():
                yield _item(What.unpacked, path, root)


def _lock_of_path(path: Path) -> Path:
    """As ``gta.files.path_lock`` names it."""
    return path.with_name(f".{path.name}.lock")


def datasets_of(study: Study) -> set[str]:
    """The datasets that a study trains on or takes masks from."""
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
