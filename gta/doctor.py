"""Checks of the machine and the project, one finding each, with the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import gta
from gta.errors import GtaError
from gta.files import is_held, is_there
from gta.study import Study

SECONDS = 20  # that another program may take to answer


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was looked at.
        state: ``ok``, ``note`` (works, with a restriction) or ``fault``.
        found: what was found.
        remedy: what to do about it; empty where nothing is to be done.
    """

    check: str
    state: Literal["ok", "note", "fault"]
    found: str
    remedy: str = ""

    def as_object(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def examine(study: Study) -> Iterator[Finding]:
    """Check the machine, then the study's data, sources, disk and locks."""
    for check in _CHECKS:
        try:
            yield from check(study)
        except GtaError as error:
            name = check.__name__.strip("_").replace("_", " ")
            yield Finding(name, "fault", error.fault, error.remedy)


def _versions(study: Study) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Finding("gta", "ok", f"{gta.__version__}, {Path(gta.__file__).parent}")
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires("gta") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "note", "gta is not installed; it runs from its folder")
        return
    for need in (one for one in declared if one.marker is None):
        try:
            found = version(need.name)
        except PackageNotFoundError:
            yield Finding(need.name, "fault", "missing", f"pip install '{need}'")
            continue
        if not need.specifier.contains(found, prereleases=True):
            yield Finding(
                need.name, "fault", f"{found}, not {need.specifier}", f"pip install '{need}'"
            )
        elif need.name in ("torch", "timm", "snakemake"):
            yield Finding(need.name, "ok", found)


def _devices(study: Study) -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0))
    yield Finding("cpu", "ok", f"{cores} cores, torch uses {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            memory = properties.total_memory / 2**30
            yield Finding(f"cuda:{number}", "ok", f"{properties.name}, {memory:.0f} GiB")
        return
    granted = {"CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"} & os.environ.keys()
    if shutil.which("nvidia-smi") or any(os.environ[name] for name in granted):
        yield Finding(
            "gpu",
            "fault",
            f"one is here or was granted, and torch {torch.__version__} cannot use it",
            "install a torch build for the driver's CUDA version, or take MIG and "
            "CUDA_VISIBLE_DEVICES out",
        )
    else:
        yield Finding("gpu", "note", "none; training runs on the CPU")


def _folders(study: Study) -> Iterator[Finding]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = {
        "results": study.folder.parent,
        "store": study.store_root,
        "archives": study.archives_root,
        "cache": cache,
    }
    for name, folder in places.items():
        there = next(place for place in (folder, *folder.absolute().parents) if is_there(place))
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            remedy = "set XDG_CACHE_HOME" if name == "cache" else f"make {there} writable"
            yield Finding(name, "fault", f"{folder}: cannot be written: {error.strerror}", remedy)
            continue
        free = shutil.disk_usage(there).free
        yield Finding(name, "ok", f"{folder}, {free / 1e9:.1f} GB free")


def _inputs(study: Study) -> Iterator[Finding]:
    for dataset in study.config.datasets:
        ready = (study.store(dataset) / "store.json").exists()
        info = study.dataset_info(dataset)
        if ready:
            yield Finding(dataset, "ok", "prepared")
        elif info.kind == "procedural":
            yield Finding(dataset, "ok", "will be rendered")
        elif info.reader == "folder" and not study.resolve(info.folder).exists():
            where = study.resolve(info.folder)
            yield Finding(
                dataset, "fault", f"{where} is missing", "correct own_datasets in the config"
            )
        else:
            yield Finding(
                dataset, "note", "not prepared", f"gta data fetch {dataset}; or snakemake"
            )
    for source in dict.fromkeys(study.config.sources.values()):
        ready = study.weights(source).exists()
        shipped = study.source_info(source).shipped is not None
        state = "prepared" if ready else "ships with the package" if shipped else "not prepared"
        if ready or shipped:
            yield Finding(source, "ok", state)
        else:
            yield Finding(source, "note", state, f"gta source prepare {source}; or snakemake")


def _slurm(study: Study) -> Iterator[Finding]:
    if not shutil.which("sbatch"):
        yield Finding("slurm", "note", "no sbatch here; `--profile slurm` needs it")
        return
    for command in (["sinfo", "--version"], ["squeue", "--me", "--noheader"]):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = " ".join((getattr(error, "stderr", None) or str(error)).split())
            yield Finding(
                "slurm",
                "fault",
                f"`{' '.join(command)}` fails: {said or 'without a word'}",
                "`--profile slurm` alone needs it: ask the cluster's support; see docs/slurm.md",
            )
            return
        if command[0] == "sinfo":
            found = done.stdout.strip()
    yield Finding("slurm", "ok", f"{found}, squeue answers")


def _locks(study: Study) -> Iterator[Finding]:
    held = [path for path in study.folder.glob("locks/**/*.lock") if is_held(path)]
    if held:
        yield Finding("locks", "note", f"{len(held)} runs are being written", "gta status")
    snakemake = study.root / ".snakemake" / "locks"
    if any(snakemake.glob("*.lock")):
        yield Finding(
            "snakemake",
            "note",
            f"{snakemake} holds locks",
            "if no snakemake runs in this folder: snakemake --unlock",
        )
    elif not held:
        yield Finding("locks", "ok", "nothing writes here")


_CHECKS: tuple[Callable[[Study], Iterator[Finding]], ...] = (
    _versions,
    _devices,
    _folders,
    _inputs,
    _slurm,
    _locks,
)
