"""Base of a config's sections: strictness, the form of names, messages about wrong ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gta.study.faults import listed, nearest

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]  # torch's generators take no more

# What a change of a key does to finished runs: in the JSON schema of the key, and of all keys
# below it that do not say otherwise.
CHANGE = "x-after-a-change"


def _change(what: str) -> Any:
    return Field(json_schema_extra={CHANGE: what})


RESULTS = _change("starts another results folder")
TRAINS = _change("trains again")
RUNS = _change("adds or drops runs")
DATA = _change("prepares data again; trains again where images differ")
SOURCE = _change("prepares the source again; trains again where weights differ")
WEIGHTS = _change("trains again where weights are missing")
MEASURES = _change("measures again, without training")
SHOWS = _change("writes tables and figures again")
NOTHING = _change("nothing")


class _Lifted:
    """Marks a mapping for which ``null`` in an overlay lifts what the study below it says."""

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def lifted(value: Any) -> Any:
            return {} if value is None else value

        return core_schema.no_info_before_validator_function(lifted, handler(kind))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "null"}]}


LIFTED = _Lifted()

# of a method, or of several that are combined
METHOD_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*(\+[A-Za-z0-9][A-Za-z0-9_.\-]*)*$"
MethodName = Annotated[str, Field(pattern=METHOD_NAME)]


def as_written(value: float) -> float:
    """The number, if ``%g`` keeps all of it, as paths do; else a ValueError."""
    if float(f"{value:g}") != value:
        raise ValueError(f"{value} has more than six significant digits, a path cannot hold it")
    return value + 0.0  # -0.0 becomes 0.0, which a path can hold


Rate = Annotated[float, Field(gt=0, le=100), AfterValidator(as_written)]
Lam = Annotated[float, Field(ge=0, le=1e12), AfterValidator(as_written)]


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
