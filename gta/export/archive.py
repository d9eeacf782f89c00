"""A study's results in one tar file, with digests, and back into another project."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import gta
from gta import files
from gta.errors import GtaError, listed
from gta.interface import StudyResults
from gta.results.imports import IMPORTS

MANIFEST = "manifest.json"
FORMAT = 1
KINDS = ("metrics", "history", "predictions")
MOST_FILES = 1_000_000
Progress = Callable[[int, int], None]


def write_archive(
    study: StudyResults, out: Path, models: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the results of all runs that are done, and what was made of them.

    Args:
        study: the study.
        out: the tar file.
        models: take trained weights too.
        progress: called with files written and in all.

    Returns:
        The manifest: study, machine, versions, commits, runs, and each file's SHA-256.

    Raises:
        GtaError: if no run is done, or a file cannot be read or written.
    """
    paths = _files_of(study, models)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "study": study.name,
        "machine": platform.node(),
        "gta": gta.__version__,
        "commits": sorted(set(study.metrics["git_commit"])),
        "devices": sorted(set(study.metrics["device"])),
        "runs": [run.name for run in study.runs() if run.state == "done"],
        "written_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    if not manifest["runs"]:
        raise GtaError(f"study {study.name}: no run is done; nothing to archive")
    names = [path.relative_to(study.folder).as_posix() for path in paths]
    manifest["files"] = {
        name: files.file_digest(path) for name, path in zip(names, paths, strict=True)
    }
    with files.atomic_write(out) as hidden, tarfile.open(hidden, "w") as archive:
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as text:
            json.dump(manifest, text, indent=1)
            text.flush()
            archive.add(text.name, MANIFEST)  # first, so that it can be read without the rest
        for number, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
            archive.add(path, name)
            if progress is not None:
                progress(number, len(paths))
    return manifest


def _files_of(study: StudyResults, models: bool) -> list[Path]:
    kinds = [*KINDS, "models"] if models else list(KINDS)
    runs = [run for run in study.runs() if run.state == "done"]
    paths = [study.folder / "config.yaml", study.folder / "metrics.parquet"]
    paths += [
        study.folder / kind / run.name / name
        for run in runs
        for kind in kinds
        for name in ("part.parquet", "model.safetensors")
    ]
    paths += sorted((study.folder / "tables").glob("[!.]*"))
    paths += sorted((study.folder / "figures").glob("[!.]*"))
    paths += [study.folder / "intervals.parquet", study.folder / "index.html"]
    return [path for path in paths if path.is_file()]


def import_archive(
    archive: Path, results: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Put an archive's results into ``results/<study>``; nothing there is overwritten.

    Every file is unpacked beside its place and compared with the manifest before the first one is
    moved, so that a damaged archive changes nothing.

    Args:
        archive: a tar file that ``write_archive`` wrote.
        results: the project's ``results`` folder.
        progress: called with files checked and in all.

    Returns:
        The manifest, with the number of files that were ``new``.

    Raises:
        GtaError: if the file is not such an archive, is damaged, or would replace another file.
    """
    results.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix=".import-", dir=results))
    try:
        manifest = _unpack(archive, unpacked, progress)
        folder = results / manifest["study"]
        different, new = [], []
        for name, digest in manifest["files"].items():
            target = folder / name
            if not target.exists():
                new.append(name)
            elif files.file_digest(target) != digest and name.startswith((*KINDS, "models")):
                different.append(name)
        if different:
            raise GtaError(
                f"{len(different)} files are there already with another content: "
                f"{listed(different, 3)}",
                where=folder,
                remedy="move them away, or import into another project",
            )
        for name in new:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(unpacked / name, folder / name)  # never replaces a file
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if not new:  # all of it was here already
        return manifest | {"new": 0}
    record = folder / IMPORTS / f"{archive.stem}-{manifest['written_at'][:10]}.json"
    files.write_text(record, json.dumps(manifest | {"brought": new}, indent=1) + "\n")
    return manifest | {"new": len(new)}


def _unpack(archive: Path, folder: Path, progress: Progress | None) -> dict[str, Any]:
    try:
        with tarfile.open(archive) as content:
            first = content.next()
            if first is None or first.name != MANIFEST:
                raise GtaError("is not an archive of `gta archive`", where=archive)
            content.extract(first, folder, filter="data")
            manifest = _read_manifest(folder / MANIFEST, archive)
            wanted = manifest["files"]
            for member in list(content)[1:]:
                if member.name not in wanted or not member.isreg():
                    raise GtaError(f"holds {member.name}, which its manifest lacks", where=archive)
                content.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise GtaError(f"cannot be unpacked: {error}", where=archive) from None
    for number, (name, digest) in enumerate(wanted.items(), start=1):
        path = folder / name
        if not path.is_file() or files.file_digest(path) != digest:
            raise GtaError(f"{name} is missing or damaged", where=archive, remedy="get it again")
        if progress is not None:
            progress(number, len(wanted))
    return manifest


def _read_manifest(path: Path, archive: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GtaError(f"its manifest is not JSON: {error}", where=archive) from None
    kinds = {"format": int, "study": str, "written_at": str, "files": dict, "runs": list}
    if not isinstance(manifest, dict) or any(
        not isinstance(manifest.get(key), kind) for key, kind in kinds.items()
    ):
        raise GtaError("its manifest lacks a field", where=archive)
    if manifest["format"] != FORMAT:
        raise GtaError(f"is of format {manifest['format']}, not {FORMAT}", where=archive)
    names = [manifest["study"], *manifest["files"]]
    if len(names) > MOST_FILES or not all(map(_is_plain, names)) or "/" in manifest["study"]:
        raise GtaError("its manifest names a file outside the study", where=archive)
    return manifest


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return bool(path.parts) and not path.is_absolute() and not hidden and "\0" not in name
