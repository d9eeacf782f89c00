"""Runs of a study by their fields, each a value or a list of values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.run import IDENTITY


def matching(study: Study, where: Mapping[str, Any]) -> list[Run]:
    """The runs of a study that have one of the values of every field.

    Raises:
        GtaError: if a field is not that of a run, or there is no such run.
    """
    for field in where:
        if field not in IDENTITY:
            raise GtaError(f"{field!r} is not a field of a run: {', '.join(IDENTITY)}")
    wanted = {field: _values(value) for field, value in where.items()}
    runs = [run for run in study.runs if _matches(run, wanted)]
    if runs:
        return runs
    asked = ", ".join(f"{field}={value!r}" for field, value in where.items())
    without = (f for f in wanted if not any(_matches(run, {f: wanted[f]}) for run in study.runs))
    field = next(without, next(iter(wanted)))
    values = ", ".join(dict.fromkeys(run.text(field) for run in study.runs))
    raise GtaError(f"study {study.name} has no run with {asked}; {field} is one of: {values}")


def _matches(run: Run, wanted: Mapping[str, Collection[Any]]) -> bool:
    return all(getattr(run, field) in values for field, values in wanted.items())


def _values(value: Any) -> Collection[Any]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return [value]
