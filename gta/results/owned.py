"""Recognition of files and folders that gta wrote, by their content, not by names alone."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gta.data.fetch.unpack import record_of
from gta.files import is_abandoned
from gta.results.retire import KINDS

# How `Study.store` and `Study.weights` end their names.
KEYED = re.compile(r".+-[0-9a-f]{12}")
# How `gta.files.atomic_write` names what is not yet complete.
_HIDDEN = re.compile(r"\.(.{1,40})\.[0-9a-f]{8}(\.[A-Za-z]+)?")
_CHUNKS = re.compile(r"\.parts-[0-9a-f]{12}")

_OF_STORE = re.compile(
    r"(store|verified)(\.damaged)?\.json|files\.txt|index\.parquet|(pixels|masks)\.bin"
)
_STEMS_OF_STORE = {"store", "verified", "files", "index", "pixels", "masks"}
_OF_RUN = re.compile(
    r"(part|model)(\.damaged)?\.(parquet|safetensors)|(checkpoint|damaged)\.(pt|json)|error\.txt"
)
_ENDINGS = {"tables": ("csv", "md", "tex", "html"), "figures": ("csv", "pdf", "png", "svg")}
_KINDS_OF_RUNS = {*KINDS, "locks", "segmentation", "robustness", "averages", "backdoor"}
_SIGNED = re.compile(r"process \d+ on .*\n")  # by `gta.files.hold_one`
_RETIRED = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_FIELDS = re.compile(r"\w+=[^/]+")
_HEADER = 1 << 20  # bytes at the start of a source in which its metadata stands


def is_store(folder: Path) -> bool:
    """Whether a folder is a prepared dataset, or what a killed preparation left of one.

    Its record is a ``store.json`` or ``verified.json`` as gta writes them; a folder with a file
    that gta does not write is the user's.
    """
    names = [path.name for path in folder.iterdir()]
    known = [n for n in names if _OF_STORE.fullmatch(n)]
    half = [n for n in names if _is_half_written(n, _STEMS_OF_STORE) or _CHUNKS.fullmatch(n)]
    if not names or len(known) + len(half) < len(names):
        return False
    about = (_json(folder / name) for name in ("store.json", "store.damaged.json"))
    if any(isinstance(one, dict) and {"format", "digest"} <= one.keys() for one in about):
        return True
    stamps = _json(folder / "verified.json")
    if isinstance(stamps, dict) and stamps and all(_OF_STORE.fullmatch(name) for name in stamps):
        return True
    seen = _text(folder / "files.txt")
    if seen is not None and not re.fullmatch(r"[0-9a-f]{64}\n", seen):
        return False
    return set(known) <= {"files.txt"}


def is_source(path: Path) -> bool:
    """Whether a file is a prepared source, by its metadata; also one that is damaged behind."""
    try:
        with path.open("rb") as file:
            return b'"weights_digest"' in file.read(_HEADER)
    except OSError:
        return False


def is_file_record(path: Path) -> bool:
    """Whether a file is what ``gta.models.originals.note_seen`` writes beside a source."""
    try:
        name, *numbers = ast.literal_eval(_text(path) or "")
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False
    return isinstance(name, str) and [type(number) for number in numbers] == [int] * 3


def is_unpacked(folder: Path) -> bool:
    """Whether gta unpacked archives into a folder."""
    found = _json(record_of(folder))
    return isinstance(found, dict) and found.keys() == {"unpacked", "archives"}


def is_retired(folder: Path) -> bool:
    """Whether a folder is one that ``gta.results.retire`` made."""
    if folder.is_symlink() or not folder.is_dir() or not _RETIRED.fullmatch(folder.name):
        return False
    kinds = [path.name for path in folder.iterdir()]
    return bool(kinds) and set(kinds) <= set(KINDS) and not _has_foreign(folder)


def is_of_run(kind: str, path: Path) -> bool:
    """Whether a file or folder at a run's place, of this kind, holds nothing of the user's."""
    if path.is_symlink() or kind not in _KINDS_OF_RUNS:
        return False
    if not path.is_dir():
        text = _text(path)
        signed = text is not None and (not text or _SIGNED.fullmatch(text) is not None)
        return kind == "locks" and path.suffix == ".lock" and signed
    return not _has_foreign(path)


def is_training_log(log: Path, folder: Path) -> bool:
    """Whether a file in a folder of logs is named as those of training jobs."""
    parts = log.relative_to(folder).with_suffix("").parts
    return parts == ("all",) or all(_FIELDS.fullmatch(part) for part in parts)


def is_page(path: Path) -> bool:
    """Whether a file is one of the four that each table or figure is written as."""
    endings = _ENDINGS[path.parent.name]
    stem = path.name.partition(".")[0]
    beside = [path.with_name(f"{stem}.{ending}") for ending in endings]
    return path in beside and all(one.is_file() for one in beside)


def half_written(folder: Path, stems: set[str] | None = None) -> Iterator[Path]:
    """Hidden files in a folder whose writers were killed.

    Args:
        folder: to look into, not below.
        stems: names, without ending, of the files that gta writes there; None for any.
    """
    if folder.is_dir():
        for path in sorted(folder.glob(".*")):
            if _is_half_written(path.name, stems) and path.is_file() and is_abandoned(path):
                yield path


def chunks_left(store: Path) -> Iterator[Path]:
    """Decoded images that a preparation left in a store that is complete."""
    if (store / "store.json").exists():
        for path in sorted(store.glob(".parts-*")):
            if _CHUNKS.fullmatch(path.name):
                yield path


def half_written_in_store(store: Path) -> Iterator[Path]:
    """Hidden files in a store whose writers were killed."""
    yield from half_written(store, _STEMS_OF_STORE)


def _is_half_written(name: str, stems: set[str] | None) -> bool:
    found = _HIDDEN.fullmatch(name)
    return found is not None and (stems is None or found[1] in stems)


def _has_foreign(folder: Path) -> bool:
    """Whether a folder holds, at any depth, a file that is not named as those of runs."""
    return any(
        not _OF_RUN.fullmatch(name) and not _HIDDEN.fullmatch(name)
        for _, _, names in os.walk(folder)
        for name in names
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, ValueError):
        return None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path) or "")
    except (ValueError, RecursionError):
        return None
