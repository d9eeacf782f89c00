"""Faults of a config: all of them at once, each a line with file, key and the nearest names."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gta.errors import GtaError
from gta.study.yaml_files import quoted, redacted

MOST_NAMED = 40  # names that a message lists


class ConfigError(GtaError):
    """Several faults of a config.

    Attributes:
        faults: each an error of one line.
    """

    def __init__(self, faults: Sequence[GtaError]) -> None:
        """Join the faults, a line each."""
        self.faults = tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{len(faults)} faults in the config:{lines}")


class Faults:
    """Collects faults, to report all of them at once.

    Attributes:
        broken: whether a block of ``noted`` ended by a fault, so that what it makes is missing.
    """

    def __init__(self) -> None:
        """Start without faults."""
        self._found: dict[str, GtaError] = {}
        self.broken = False

    def add(self, fault: GtaError) -> None:
        """Note a fault, or each of several; one that is noted already counts once."""
        for one in fault.faults if isinstance(fault, ConfigError) else [fault]:
            self._found.setdefault(str(one), one)

    @property
    def count(self) -> int:
        """Faults so far."""
        return len(self._found)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the fault that ends the block, and go on after it."""
        try:
            yield
        except GtaError as fault:
            self.add(fault)
            self.broken = True

    def raise_any(self) -> None:
        """Raise what was noted.

        Raises:
            GtaError: the only fault.
            ConfigError: several.
        """
        found = list(self._found.values())
        if len(found) == 1:
            raise found[0]
        if found:
            raise ConfigError(found)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after the known names that are most like one; empty if none is."""
    close = difflib.get_close_matches(name, [*known], n=2, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names in a message, cut short where they are many."""
    there = [*names]
    more = f", … ({len(there) - MOST_NAMED} more)" if len(there) > MOST_NAMED else ""
    return ", ".join(there[:MOST_NAMED]) + more


def described(model: type[BaseModel], location: Sequence[Any], faults: list[ErrorDetails]) -> str:
    """Faults of one value, for each branch of its type's union.

    Args:
        model: that was validated.
        location: keys of the value within it.
        faults: pydantic's, all of this value.
    """
    first = faults[0]
    if first["type"] == "value_error":
        return redacted(first["msg"].removeprefix("Value error, "))
    if first["type"] == "extra_forbidden":
        keys = keys_at(model, location[:-1])
        offered = nearest(str(location[-1]), keys)
        there = f"known: {listed(keys)}" if keys else ""
        return "; ".join(filter(None, ("unknown key", offered, there)))
    if first["type"] == "missing":
        return "missing"
    wanted = " or ".join(
        dict.fromkeys(
            _WANTED.get(fault["type"], fault["msg"].removeprefix("Input ")) for fault in faults
        )
    )
    return f"{_as_written(first['input'])} {wanted}"


def _as_written(value: Any) -> str:
    text = redacted(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 and text.isprintable() else quoted(text)


# pydantic speaks of JSON's types; the user wrote YAML
_WANTED = {
    "model_type": "should be keys and values",
    "dict_type": "should be keys and values",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "string_pattern_mismatch": "should hold only letters, digits and _ . -",
}


def is_type_tag(part: Any) -> bool:
    """Whether a part of pydantic's location names a branch of a union, which is not a key."""
    return isinstance(part, str) and ("[" in part or part.startswith("constrained-"))


def keys_at(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The keys that a model has at a location; empty where any key may stand."""
    kinds: list[Any] = [model]
    for part in location:
        if not is_type_tag(part):
            kinds = [below for kind in kinds for below in _below(kind, str(part))]
    return [key for kind in kinds if _is_model(kind) for key in kind.model_fields]


def _below(kind: Any, key: str) -> Iterator[Any]:
    if _is_model(kind):
        if key in kind.model_fields:
            yield from _branches(kind.model_fields[key].annotation)
    elif get_origin(kind) is dict:
        yield from _branches(get_args(kind)[1])
    elif get_origin(kind) in (list, tuple):
        yield from _branches(get_args(kind)[0])


def _branches(kind: Any) -> Iterator[Any]:
    """A type without ``Annotated``, and each branch of a union."""
    if get_origin(kind) is Annotated:
        yield from _branches(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for branch in get_args(kind):
            yield from _branches(branch)
    else:
        yield kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
