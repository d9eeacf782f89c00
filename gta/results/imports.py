"""Results that came from another machine in an archive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gta.errors import GtaError
from gta.files import file_digest, is_there
from gta.results.parts import read_row
from gta.study import Run, Study

IMPORTS = "imports"  # folder of a study's results: the manifest of each archive imported


@dataclass(frozen=True, order=True)
class ImportedFrom:
    """Origin of an imported run.

    Attributes:
        machine: name of the host that wrote the archive.
        commit: of the code that trained the run.
        archived: date of the archive, ``YYYY-MM-DD``.
    """

    machine: str
    commit: str
    archived: str

    def __str__(self) -> str:
        return f"{self.machine}, commit {self.commit[:10]}, archived {self.archived}"


def imported(folder: Path) -> list[dict[str, Any]]:
    """Manifests of the archives that were imported into a study's results."""
    found = []
    if not is_there(folder / IMPORTS):
        return []
    for path in sorted((folder / IMPORTS).glob("*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found


def imported_runs(study: Study) -> dict[Run, ImportedFrom]:
    """The runs whose results came in an archive and were not trained again here since."""
    manifests = imported(study.folder)
    found: dict[Run, ImportedFrom] = {}
    for run in study.runs if manifests else ():
        files = study.run_files(run)
        path = files.metrics
        name = path.relative_to(study.folder).as_posix()
        for manifest in _holding(manifests, name):
            try:
                if file_digest(path) == manifest["files"][name]:
                    commit, day = read_row(files)["git_commit"], manifest["written_at"][:10]
                    found[run] = ImportedFrom(manifest["machine"], commit, day)
            except (OSError, GtaError):  # gone or damaged: a hole, which says so itself
                continue
    return found


def _holding(manifests: Iterable[dict[str, Any]], name: str) -> Iterable[dict[str, Any]]:
    """The manifests of archives that brought a file which was not there before."""
    return (one for one in manifests if name in one.get("brought", one["files"]))
