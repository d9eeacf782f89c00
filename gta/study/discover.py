"""The studies whose configs lie in a folder."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from gta.errors import GtaError
from gta.study.config import Config
from gta.study.load import read_yaml

FOLDER = Path("config")


def discover(folder: Path = FOLDER, but: Container[Path] = ()) -> Iterator[tuple[Path, ...]]:
    """The config files of each study in a folder: its own, or those that it is laid over.

    A file that leaves keys out that every study needs is an overlay; ``<name>-<what>.yaml`` is
    laid over ``<name>.yaml``. A file that names no study, such as ``tables.yaml``, is not a config.

    Args:
        folder: of the configs.
        but: files to pass over.

    Raises:
        GtaError: if a file cannot be read, or it cannot be told what an overlay is laid over.
    """
    needed = {name for name, field in Config.model_fields.items() if field.is_required()}
    for path in sorted(folder.glob("*.yaml")):
        if path in but:
            continue
        keys = read_yaml(path).keys()
        if "study" not in keys:
            continue
        if needed <= keys:
            yield (path,)
            continue
        base = path.with_name(f"{path.stem.partition('-')[0]}.yaml")
        if base == path or not base.exists():
            lacking = ", ".join(sorted(needed - keys))
            raise GtaError(f"{path}: lacks {lacking}; an overlay is called <study>-<what>.yaml")
        yield (base, path)
