"""Reading YAML into validated models; every fault is one line with file and key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gta.catalog import SOURCES
from gta.errors import GtaError
from gta.study.credentials import with_credentials
from gta.study.faults import Faults, described, is_type_tag
from gta.study.yaml_files import read_yaml, with_exponents

__all__ = [
    "completed",
    "file_of",
    "merge",
    "read_configs",
    "read_yaml",
    "validate",
    "with_exponents",
]

Model = TypeVar("Model", bound=BaseModel)


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge one mapping over another, key by key, as Snakemake merges config files."""
    merged = dict(base)
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            value = merge(merged[key], value)
        merged[key] = value
    return merged


def read_configs(files: Sequence[Path]) -> dict[str, Any]:
    """Read a study's file and its overlays.

    Raises:
        GtaError: if an overlay does not name a study of its own (its results would be mixed
            with those of the study it alters).
    """
    merged: dict[str, Any] = {}
    for position, path in enumerate(files):
        content = with_credentials(read_yaml(path), path)
        if position and content.get("study") in (None, merged.get("study")):
            raise GtaError(
                f"{path}: study: an overlay must name a study of its own, "
                f"not {merged.get('study')!r}"
            )
        merged = with_methods(merge(merged, content), merged.get("methods"))
    return merged


def with_methods(content: Mapping[str, Any], below: Any) -> dict[str, Any]:
    """A config whose list of methods is keys and settings.

    Args:
        content: a config; ``methods: [finetune, gta]`` selects methods by name.
        below: ``methods`` of the config that it is laid over, whose settings the names keep.
    """
    names = content.get("methods")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return dict(content)
    if len({*names}) != len(names):
        raise GtaError("a method is named twice", where="methods")
    settings = below if isinstance(below, Mapping) else {}
    return {**content, "methods": {name: settings.get(name) for name in names}}


def completed(content: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """A merged config with its methods as keys, and the architecture that its sources share.

    Args:
        content: the merged config, also as Snakemake has it.
        files: the files it came from.
    """
    below = read_configs(files).get("methods") if isinstance(content.get("methods"), list) else None
    content = with_methods(content, below)
    recipe, names = content.get("recipe"), content.get("sources")
    if (
        not isinstance(recipe, Mapping)
        or "architecture" in recipe
        or not isinstance(names, Mapping)
    ):
        return content
    shared = {_architecture(content, name) for name in names.values() if isinstance(name, str)}
    if len(shared) != 1 or None in shared:
        return content
    return {**content, "recipe": {"architecture": shared.pop(), **recipe}}


def _architecture(content: Mapping[str, Any], source: str) -> Any:
    """The architecture of a source, as an unchecked config states it."""
    own = content.get("own_sources")
    if isinstance(own, Mapping) and isinstance(own.get(source), Mapping):
        return own[source].get("architecture")
    given = content.get("architectures")
    if isinstance(given, Mapping) and source in given:
        return given[source]
    return SOURCES[source].architecture if source in SOURCES else None


def validate(
    model: type[Model],
    content: Mapping[str, Any],
    files: Sequence[Path],
    under: Sequence[str] = (),
) -> Model:
    """Validate ``content``, which came from ``files``, in the order they were laid over.

    Args:
        model: what it must be.
        content: keys and values.
        files: where it came from, for error messages.
        under: keys of the config under which ``content`` stands.

    Raises:
        GtaError: with the file that holds the key and the key itself; ``ConfigError`` if there
            are several faults.
    """
    try:
        # as JSON, strictly: a list may then stand for a tuple, but no text for a number
        return model.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        found: dict[tuple[str, ...], list[ErrorDetails]] = {}
        for fault in error.errors(include_url=False):
            keys = tuple(str(part) for part in fault["loc"] if not is_type_tag(part))
            found.setdefault(keys, []).append(fault)
        faults = Faults()
        # of a union's branches, the one that fits as far as a key within is what was meant
        above = {keys[:depth] for keys in found for depth in range(len(keys))}
        for keys, branches in found.items():
            if keys in above:
                continue
            path = (*under, *keys)
            where = ": ".join(filter(None, (file_of(path, files), ".".join(path))))
            faults.add(GtaError(described(model, keys, branches), where=where))
        faults.raise_any()
        raise AssertionError("unreachable") from None


def file_of(keys: Sequence[str], files: Sequence[Path]) -> str:
    """The last of the files that sets the key, or the longest known part of it."""
    best, depth = (str(files[-1]) if files else "config"), 0
    for path in files:
        content: Any = read_yaml(path)
        reached = 0
        for key in keys:
            if not isinstance(content, Mapping):
                break
            match = next((k for k in content if str(k) == key), None)
            if match is None:
                break
            content = content[match]
            reached += 1
        if reached and reached >= depth:
            best, depth = str(path), reached
    return best
