"""The project's folder, the files that ship with the package, and how paths are read.

One rule for the command line, Snakemake, configs and environment variables: ``~`` is the home
folder, an empty variable counts as unset, and a relative path is relative to the project's
folder, which is the working folder unless that lies inside a project.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

PARTS = ("config", "results", "Snakefile", "workflow/Snakefile")


def find_project(start: Path | None = None) -> Path:
    """Find the folder that ``results`` and ``data`` lie in.

    Args:
        start: where to begin; default the working folder, for which ``Path()`` is returned.

    Returns:
        ``start`` where it holds a part of a project, else the nearest folder above it that holds
        a workflow beside its configs, or results with their config; ``start`` where none does.
    """
    here = Path.cwd() if start is None else start.resolve()
    default = Path() if start is None else start
    if any((here / part).exists() for part in PARTS):
        return default
    return next((folder for folder in here.parents if _is_project(folder)), default)


def _is_project(folder: Path) -> bool:
    workflow = (folder / "Snakefile").is_file() or (folder / "workflow" / "Snakefile").is_file()
    if workflow and (folder / "config").is_dir():
        return True
    return any((folder / "results").glob("*/config.yaml"))


def shared(name: str = "") -> Path:
    """A file or folder that ships with the package: ``config/…`` or ``workflow/…``."""
    return Path(str(files("gta") / "share" / name))


def find_config(file: Path, root: Path = Path()) -> Path:
    """The file that a config is named by: a path, or the name of a study.

    Looked up in the working folder, then in the project, then among the configs that ship with
    the package. ``mini`` stands for ``config/mini.yaml``.

    Returns:
        The file; ``file`` itself where there is none, so that the error names what was typed.
    """
    file = file.expanduser()
    names = [file]
    if not file.suffix and len(file.parts) == 1:
        names.append(Path("config", f"{file}.yaml"))
    for name in names:
        for path in (name, root / name):
            if path.is_file():
                return path
    for name in names:
        if not name.is_absolute() and (path := shared(str(name))).is_file():
            return path
    return file


def as_typed(file: Path) -> str:
    """What a command has to name a config by: those of the package by their short path."""
    if file.is_relative_to(shared()):
        return str(file.relative_to(shared()))
    return str(file)


def resolve(path: str, root: Path = Path()) -> Path:
    """A path of a config or an environment variable, relative to the project's folder."""
    return root / Path(path).expanduser()


def folder_of(variable: str, default: str, root: Path = Path()) -> Path:
    """The folder that an environment variable names, or the default inside the project."""
    return resolve(os.environ.get(variable, "").strip() or default, root)
