"""What a config's sections share: strictness, the form of names, what is said of wrong ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gta.study.faults import listed, nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]


def as_written(value: float) -> float:
    """The number, if ``%g`` keeps all of it, as paths do; else a ValueError."""
    if float(f"{value:g}") != value:
        raise ValueError(f"{value} has more than six significant digits, a path cannot hold it")
    return value + 0.0  # -0.0 becomes 0.0, which a path can hold


Rate = Annotated[float, Field(gt=0, le=100), AfterValidator(as_written)]
Lam = Annotated[float, Field(ge=0), AfterValidator(as_written)]


def one_line(value: str) -> str:
    """The text without blanks around it, if it is one line and not empty; else a ValueError."""
    text = value.strip()
    if not text:
        raise ValueError("is empty; readers see it, so give it words")
    if any(unicodedata.category(character) in LINE_BREAKS for character in text):
        raise ValueError(f"{value!r} has line breaks or control characters; write it in one line")
    return text


LINE_BREAKS = frozenset({"Cc", "Zl", "Zp"})  # Unicode categories
Title = Annotated[str, AfterValidator(one_line)]


class Strict(BaseModel):
    """Base of every section: unknown keys and loose types (``"15"`` for 15) are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def distinct(values: list[Any]) -> list[Any]:
    """The values, if each is named once; else a ValueError."""
    if len(set(values)) != len(values):
        raise ValueError("a value is named twice")
    return values


def new_names(values: dict[str, Any], kind: str, known: Container[str]) -> dict[str, Any]:
    """The values, if the catalog has none of their names; else a ValueError."""
    for name in values:
        if name in known:
            raise ValueError(f"{name!r} is a {kind} of the catalog; choose another name")
    return values


def one_of(value: str, kind: str, known: Iterable[str]) -> str:
    """The value, if it is a known one; else a ValueError that names those."""
    there = list(known)
    if value not in there:
        parts = (f"there is no {kind} {value!r}", nearest(value, there), f"known: {listed(there)}")
        raise ValueError("; ".join(filter(None, parts)))
    return value
