"""Weights that a run keeps, checked before anything is drawn or measured from them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from gta.errors import GtaError
from gta.results.parts import DamagedError, ForbiddenError, MissingError, OutdatedError
from gta.study import Run, RunFiles, Study
from gta.study.commands import command

MOST_HEADER = 100_000_000  # bytes, the limit of the format


def trained_weights(study: Study, run: Run) -> Path | None:
    """The file of a run's trained model; None if there is none.

    Raises:
        GtaError: it may not be read, is damaged, or is not of this run and its settings; the
            file stays where it lies.
    """
    run_files = study.run_files(run)
    try:
        check_header(run_files)
        check_content(run_files.weights)
    except MissingError:
        return None
    except ForbiddenError:
        raise
    except GtaError as error:
        remedy = f"train the run again: `{command(study, 'train', run.name)}`"
        raise error.with_remedy(remedy) from None
    return run_files.weights


def check_header(run_files: RunFiles) -> None:
    """Check from its header that a model file is whole and of this run and its settings.

    Raises:
        DamagedError: it cannot be read, or belongs to another run.
        OutdatedError: it was made with other settings.
        ForbiddenError: it may not be read.
        MissingError: it is not there.
    """
    path = run_files.weights
    metadata = read_header(path).get("__metadata__") or {}
    if metadata.get("run") != run_files.name:
        owner = metadata.get("run", "which its metadata do not name")
        raise DamagedError(f"belongs to another run, {owner}", where=path)
    if metadata.get("recipe_digest") != run_files.digest:
        raise OutdatedError("made with other settings than the config's", where=path)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, whose size must be the one that it states.

    Raises:
        DamagedError: the file is damaged.
        ForbiddenError: it may not be read.
        MissingError: it is not there.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DamagedError("damaged: not a regular file", where=path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MOST_HEADER:
                raise ValueError("its header is too large")
            header: dict[str, Any] = json.loads(file.read(length))
            size = os.fstat(file.fileno()).st_size
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for entry in tensors), default=0)
        if size != 8 + length + end:
            raise ValueError("its size is not the one that its header states")
    except FileNotFoundError:
        raise MissingError("missing", where=path) from None
    except PermissionError:
        raise ForbiddenError("cannot be read: Permission denied", where=path) from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        fault = f"cannot be read as safetensors: {' '.join(str(error).split())}"
        raise DamagedError(fault, where=path) from None
    if not isinstance(header.get("__metadata__", {}), dict):
        raise DamagedError("cannot be read as safetensors: bad metadata", where=path)
    return header


def check_content(path: Path) -> None:
    """Check that a model file's tensors are those that its metadata name.

    Raises:
        DamagedError: they are not, or cannot be read.
    """
    from gta.models.prepared import check_weights

    if "weights_digest" not in (read_header(path).get("__metadata__") or {}):
        return  # older files have none
    try:
        check_weights(path)
    except GtaError as error:
        raise DamagedError(str(error)) from None
