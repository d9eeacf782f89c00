"""What the reference code gave: ``recorded.npz``, and ``recorded.json`` for where it came from.

Of more than ``SAMPLE`` floating-point numbers that many were recorded, evenly spread, and of all
the largest absolute value and the norm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SAMPLE = 1024
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Origin:
    """The code that a case's values came from.

    Attributes:
        repository: owner/name on GitHub.
        commit: its full hash.
        file: path in the repository.
        function: what was called in it.
        inputs: SHA-256 of what it was called with.
    """

    repository: str
    commit: str
    file: str
    function: str
    inputs: str


@cache
def origins() -> dict[str, Origin]:
    """Origins by case."""
    text = (FOLDER / "recorded.json").read_text(encoding="utf-8")
    return {case: Origin(**origin) for case, origin in json.loads(text)["cases"].items()}


@cache
def _arrays() -> dict[str, Array]:
    with np.load(FOLDER / "recorded.npz") as file:
        return dict(file)


def values(case: str) -> dict[str, tuple[Array, ...]]:
    """What the reference gave in a case, by output, as ``condensed`` gives it."""
    found: dict[str, tuple[Array, ...]] = {}
    for key, array in _arrays().items():
        owner, output, _ = key.split("|")
        if owner == case:
            found[output] = (*found.get(output, ()), array)
    return found


def condensed(array: Array) -> tuple[Array, ...]:
    """What is recorded of an array: all of it, or a sample, its largest absolute value and norm."""
    flat = array.ravel()
    if flat.size <= SAMPLE or array.dtype.kind != "f":
        return (array,)
    places = np.arange(SAMPLE) * (flat.size - 1) // (SAMPLE - 1)
    norm = np.linalg.norm(flat.astype(np.float64))
    return flat[places], np.asarray(np.abs(flat).max()), np.asarray(norm)


def relative_error(ours: tuple[Array, ...], reference: tuple[Array, ...]) -> float:
    """Largest difference over the reference's largest absolute value; of norms likewise.

    Of anything but floating-point numbers it is the share that differs.

    Args:
        ours: as ``condensed`` gives it.
        reference: likewise.
    """
    a, b = ours[0], reference[0]
    assert a.shape == b.shape, (a.shape, b.shape)
    if b.dtype.kind != "f":
        return float(np.mean(a != b))
    largest = reference[1] if len(reference) > 1 else np.abs(b).max()
    difference = np.abs(a.astype(np.float64) - b.astype(np.float64)).max() / (largest or 1.0)
    of_wholes = [abs(x / y - 1) for x, y in zip(ours[1:], reference[1:], strict=True) if y]
    return float(max(difference, *of_wholes, 0.0))
