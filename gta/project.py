"""The project's folder, the files that ship with the package, and how paths are read.

One rule for the command line, Snakemake, configs and environment variables: ``~`` is the home
folder, an empty variable counts as unset, and a relative path is relative to the project's
folder, which is the working folder unless that lies inside a project.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from gta.errors import GtaError

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
        names += [Path("config", f"{file}.yaml"), Path("results", file, "config.yaml")]
    for name in names:
        for path in (name, root / name):
            if path.is_file():
                return path
    for name in names:
        if not name.is_absolute() and (path := shared(str(name))).is_file():
            return path
    return file


def as_typed(file: Path) -> str:
    """Path of a config as commands take it: the package's own by their short path."""
    if file.is_relative_to(shared()):
        return str(file.relative_to(shared()))
    return str(file)


def resolve(path: str, root: Path = Path()) -> Path:
    """A path of a config or an environment variable, relative to the project's folder.

    Raises:
        GtaError: if it names the home of an unknown user, or holds a NUL character.
    """
    if "\0" in path:
        raise GtaError(f"{path!r}: a path cannot hold a NUL character")
    try:
        return root / Path(path).expanduser()
    except RuntimeError:
        raise GtaError(f"{path}: there is no such user's home folder") from None


def folder_of(variable: str, default: str, root: Path = Path()) -> Path:
    """The folder that an environment variable names, or the default inside the project."""
    return resolve(os.environ.get(variable, "").strip() or default, root)


SNAKEFILE = """\
# The workflow of the package gta, run in this project: `snakemake` here, or
#   snakemake --configfile config/mine.yaml
from gta.project import shared


include: str(shared("workflow/Snakefile"))


rule study:
    default_target: True
    input:
        rules.all.input,
"""
README = """\
# A project of gta

    gta runs                                       # what config/mini.yaml expands to
    snakemake                                      # run it
    snakemake --configfile config/mine.yaml        # a study of your own
    snakemake --profile slurm                      # the paper's study on a SLURM cluster

`config/` holds studies to copy from, `workflow/profiles/` settings of machines to edit, `data/` and
`results/` what is prepared and what comes out. The workflow itself, the tables and the paper's
numbers come with the package; a `config/tables.yaml` here takes the place of the package's.
"""


def create_project(folder: Path) -> tuple[list[Path], list[Path]]:
    """Lay out a project: Snakefile, configs and their schemas, notebooks, profiles.

    Args:
        folder: of the project; made where missing. Files that are there are kept.

    Returns:
        The files written, and those kept.

    Raises:
        GtaError: if the folder cannot be written to.
    """
    texts = {"workflow/Snakefile": SNAKEFILE, "README.md": README}
    texts[".gitignore"] = "data/\nresults/\n.snakemake/\n"
    studies = (path for path in shared("config").glob("*.yaml") if path.name != "tables.yaml")
    copied = [
        *studies,
        *shared("config").glob("*.schema.json"),
        *shared("workflow/profiles").glob("*/config.yaml"),
        *shared("notebooks").glob("*.ipynb"),
    ]
    files = {str(path.relative_to(shared())): path.read_text(encoding="utf-8") for path in copied}
    written, kept = [], []
    try:
        for name, text in {**texts, **dict(sorted(files.items()))}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                kept.append(path)
                continue
            path.write_text(text, encoding="utf-8")
            written.append(path)
        for profile in ("local", "slurm"):  # Snakemake looks a profile up in the working folder
            if not os.path.lexists(folder / profile):
                (folder / profile).symlink_to(Path("workflow", "profiles", profile))
    except OSError as error:
        raise GtaError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return written, kept
