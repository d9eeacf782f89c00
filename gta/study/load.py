"""Reading YAML into validated models; every fault is one line with file and key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gta.errors import GtaError

Model = TypeVar("Model", bound=BaseModel)


class _NoDuplicates(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            # "<<" merges an anchor and may stand more than once
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                continue
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise GtaError(
                    f"{self.name}:{line}: {key_node.value!r} is declared twice; keep one"
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-4 as a string; people mean the number.
_EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_NoDuplicates.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        GtaError: if the file is missing, is not YAML, not a mapping, or names a key twice.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_NoDuplicates)
    except OSError as error:
        raise GtaError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GtaError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise GtaError(f"{path}: must hold keys and values")
    return content


def with_exponents(content: Any) -> Any:
    """``content`` of another YAML reader, its texts like ``1e-4`` as the numbers they mean."""
    if isinstance(content, Mapping):
        return {key: with_exponents(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_exponents(value) for value in content]
    if isinstance(content, str) and _EXPONENT.match(content):
        return float(content)
    return content


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, mappings key by key, as Snakemake merges config files."""
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
        content = read_yaml(path)
        if position and content.get("study") in (None, merged.get("study")):
            raise GtaError(
                f"{path}: study: an overlay must name a study of its own, "
                f"not {merged.get('study')!r}"
            )
        merged = merge(merged, content)
    return merged


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
        GtaError: the first fault, with the file that holds the key and the key itself.
    """
    try:
        # as JSON, strictly: a list may then stand for a tuple, but no text for a number
        return model.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        faults: dict[tuple[str, ...], list[ErrorDetails]] = {}
        for fault in error.errors(include_url=False):
            keys = (*under, *(str(part) for part in fault["loc"] if not _is_type_tag(part)))
            faults.setdefault(keys, []).append(fault)
        keys, branches = next(iter(faults.items()))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        where = ": ".join(part for part in (file_of(keys, files), ".".join(keys)) if part)
        raise GtaError(f"{where}: {_say(branches)}{more}") from None


def _is_type_tag(part: Any) -> bool:
    # pydantic names the branch of a union; that is no key of the user's
    return isinstance(part, str) and ("[" in part or part.startswith("constrained-"))


def _say(branches: Sequence[ErrorDetails]) -> str:
    """What is wrong with one value, for each branch of its type's union."""
    first = branches[0]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] in ("extra_forbidden", "missing"):
        return "unknown key" if first["type"] == "extra_forbidden" else "missing"
    wanted = " or ".join(
        _WANTED.get(fault["type"], fault["msg"].removeprefix("Input ")) for fault in branches
    )
    return f"{json.dumps(first['input'], ensure_ascii=False)} {wanted}"


# pydantic speaks of JSON's types; the user wrote YAML
_WANTED = {
    "model_type": "should be keys and values",
    "dict_type": "should be keys and values",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "string_pattern_mismatch": "should hold only letters, digits and _ . -",
}


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
