"""Variables of the .mat files that datasets come with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from gta.errors import GtaError


def read_mat(path: Path, variable: str) -> list[Any]:
    """A variable of a .mat file as a list: of dicts for a struct array, of str for a cell array.

    Raises:
        GtaError: if the file cannot be read, is not a .mat file, or lacks the variable.
    """
    from scipy.io import loadmat  # slow to import, and most datasets do without

    try:
        data = path.read_bytes()
    except OSError as error:
        raise GtaError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        content = loadmat(io.BytesIO(data), variable_names=[variable], simplify_cells=True)
    except Exception as error:  # the parser's errors of damaged bytes have no common class
        said = " ".join(str(error).split()) or type(error).__name__
        raise GtaError(f"{path}: damaged .mat file ({said})") from None
    if variable not in content:
        raise GtaError(f"{path}: has no variable {variable!r}")
    values = content[variable]
    return [values] if np.ndim(values) == 0 else list(values)


def field(record: Any, name: str, where: str) -> Any:
    """A field of one element of a struct array.

    Raises:
        GtaError: if it has no such field.
    """
    if not isinstance(record, dict) or name not in record:
        raise GtaError(f"{where}: has no field {name!r}")
    return record[name]
