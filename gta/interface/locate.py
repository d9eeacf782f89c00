"""Find the study that a folder, a config or a name stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from gta.errors import GtaError
from gta.interface.run_results import RunResults
from gta.interface.study_results import StudyResults
from gta.project import find_config, find_project, shared
from gta.study import RUN_FIELDS, Study

Where = str | Path | Sequence[str | Path]


def open(where: Where | None = None) -> StudyResults:
    """Open a study and its results, from any directory.

    Args:
        where: a results folder, a config file (or a list: the config and its overlays), a
            study's name, or a project's folder. Default: the environment's ``GTA_STUDY``, else
            the study of this project whose ``metrics.parquet`` is newest.

    Raises:
        GtaError: if there is no such study, or its config is wrong.

    Examples:
        >>> study = gta.open("results/mini")
        >>> study.name, len(study.metrics), len(study.runs())
        ('mini', 16, 16)
    """
    return StudyResults(locate(where))


def locate(where: Where | None = None) -> Study:
    """The study that ``open`` opens."""
    root = find_project()
    if where is None:
        where = os.environ.get("GTA_STUDY") or _newest(root)
    if not isinstance(where, str | Path):
        return _of_configs([Path(file).expanduser() for file in where], root)
    path = Path(where).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return _of_configs([path], root)
    if len(path.parts) == 1 and (root / "results" / path / "config.yaml").is_file():
        return _of_folder(root / "results" / path)
    if find_config(path, root).is_file():
        return _of_configs([path], root)
    there = sorted(file.parent.name for file in (root / "results").glob("*/config.yaml"))
    known = f"; studies with results here: {', '.join(there)}" if there else ""
    raise GtaError(
        f"{where}: is not a results folder, a config or the name of a study, seen from "
        f"{Path.cwd()}{known}"
    )


def open_run(name: str, configs: Sequence[Path]) -> tuple[StudyResults, RunResults]:
    """The study and run that a run's name, or a file or folder of it under ``results``, stands for.

    Args:
        name: ``dataset=…/…/seed=…``, alone or within a path.
        configs: of the study, where the name is not within its results folder.

    Raises:
        GtaError: if it names no run of the study.
    """
    found = _RUN.search(name)
    if found is None:
        raise GtaError(
            f"{name!r} does not name a run; `gta runs --list` prints names: dataset=…/…/seed=…"
        )
    before = Path(name[: found.start()])  # <results folder>/<kind>/
    study = open(before.parent) if (before.parent / "config.yaml").is_file() else open(configs)
    return study, study.run(found[0])


_RUN = re.compile("/".join(f"{field}=[^/]+" for field in RUN_FIELDS))


def _newest(root: Path) -> Path:
    collected = list((root / "results").glob("*/metrics.parquet"))
    if not collected:
        raise GtaError(f"{root.absolute() / 'results'}: no study has metrics yet; run `snakemake`")
    return max(collected, key=lambda path: path.stat().st_mtime).parent


def _of_folder(folder: Path) -> Study:
    """The study of a results folder, or the newest of a project's folder."""
    if (folder / "config.yaml").is_file():
        in_project = folder.absolute().parent.name == "results"
        root = folder.absolute().parent.parent if in_project else find_project()
        return Study.load([folder / "config.yaml"], root, folder)
    if (folder / "results").is_dir():
        return _of_folder(_newest(folder))
    config = folder.parent.parent / "config" / f"{folder.name}.yaml"
    if folder.parent.name == "results" and config.is_file():
        return Study.load([config], folder.parent.parent, folder)
    raise GtaError(
        f"{folder / 'config.yaml'}: missing; Snakemake writes it, as does `gta config --config "
        f"FILE --out {folder / 'config.yaml'}`"
    )


def _of_configs(files: Sequence[Path], root: Path) -> Study:
    """A study by its config: in this project where it has results, else in the config's own."""
    study = Study.load(files, root)
    file = study.files[0]
    if study.folder.is_dir() or file.is_relative_to(shared()):
        return study
    return Study.load(files, find_project(file.parent))
