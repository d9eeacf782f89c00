"""YAML files, read safely: bounded in size, depth and time, plain values only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gta.errors import GtaError

MOST_BYTES = 4_000_000
MOST_VALUES = 200_000  # after aliases are expanded
DEEPEST = 50
QUOTED = 60  # characters of the user's input in a message

# Tags of the values that a config may hold. YAML 1.1's dates, sets and binary data are refused
# where they are tagged; an untagged date is read as text.
KINDS = {"int": "an integer", "float": "a number", "bool": "true or false", "null": "null"}
TAGS = {f"tag:yaml.org,2002:{kind}" for kind in (*KINDS, "str", "map", "seq")}
MERGE = "tag:yaml.org,2002:merge"

# Keys by which other programs run code from a file that gta shares with them.
CODE = {"__use_yte__", "__definitions__", "__variables__"}


class _Loader(yaml.SafeLoader):
    """A safe loader without dates, with exponents as people write them."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# YAML 1.1 reads 1e-4 as a string; people mean the number.
_EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        GtaError: the file is missing, is not YAML, not a mapping, names a key twice, or holds
            what a config never needs: dates, binary data, other tags, cyclic aliases, control
            characters, or more than ``MOST_VALUES`` values.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise GtaError(f"is larger than {MOST_BYTES:,} bytes", where=path)
        text = path.read_text(encoding="utf-8")
        _refuse_depth(text, path)
        loader = _Loader(text)
        loader.name = str(path)
        try:
            node = loader.get_single_node()
            content = None if node is None else _construct(loader, node, path)
        finally:
            loader.dispose()
    except OSError as error:
        raise GtaError(f"cannot be read ({error.strerror})", where=path) from None
    except UnicodeDecodeError as error:
        raise GtaError(f"is not YAML: it is not UTF-8 ({error.reason})", where=path) from None
    except yaml.YAMLError as error:
        raise GtaError(f"is not YAML: {_line(error)}", where=path) from None
    except RecursionError:
        raise GtaError("is not YAML: its levels are too many", where=path) from None
    if not isinstance(content, dict):
        raise GtaError("must hold keys and values", where=path)
    for key in CODE & content.keys():
        raise GtaError(
            f"{key}: runs code in Snakemake; a config holds plain values only", where=path
        )
    return content


def _refuse_depth(text: str, path: Path) -> None:
    """Refuse brackets nested so deep that the parser would take minutes."""
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > 20 * DEEPEST:
            raise GtaError("is not YAML: its levels are too many", where=path)


def _construct(loader: _Loader, node: yaml.Node, path: Path) -> Any:
    """The value of a node, once its size is known."""
    _values(node, {}, 0, path)
    return _value(loader, node, path)


def _where(node: yaml.Node, path: Path) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _values(node: yaml.Node, seen: dict[int, int], depth: int, path: Path) -> int:
    """Count the values below a node with its aliases expanded, without expanding them."""
    if id(node) in seen:
        if seen[id(node)] < 0:
            raise GtaError("an alias contains itself", where=_where(node, path))
        return seen[id(node)]
    if depth > DEEPEST:
        raise GtaError(f"more than {DEEPEST} levels", where=_where(node, path))
    if node.tag not in TAGS and node.tag != MERGE:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise GtaError(f"tag {quoted(tag)} is not allowed", where=_where(node, path))
    seen[id(node)] = -1
    below: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        below = node.value
    elif isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    count = 1 + sum(_values(part, seen, depth + 1, path) for part in below)
    if count > MOST_VALUES:
        raise GtaError(f"more than {MOST_VALUES:,} values", where=_where(node, path))
    seen[id(node)] = count
    return count


def _value(loader: _Loader, node: yaml.Node, path: Path) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, part, path) for part in node.value]
    assert isinstance(node, yaml.MappingNode)
    merged: dict[Any, Any] = {}
    own: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == MERGE:  # "<<" merges an anchor and may stand more than once
            merged = _merged(loader, value_node, path) | merged
            continue
        key = _value(loader, key_node, path)
        if not isinstance(key, Hashable):
            raise GtaError("a key must be a single value", where=_where(key_node, path))
        if key in own:
            raise GtaError(
                f"{quoted(key)} is declared twice; keep one", where=_where(key_node, path)
            )
        own[key] = _value(loader, value_node, path)
    return {**{key: value for key, value in merged.items() if key not in own}, **own}


def _merged(loader: _Loader, node: yaml.Node, path: Path) -> dict[Any, Any]:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    merged: dict[Any, Any] = {}
    for part in parts:
        if not isinstance(part, yaml.MappingNode):
            raise GtaError("<< must merge keys and values", where=_where(part, path))
        merged = {**_value(loader, part, path), **merged}
    return merged


def _scalar(loader: _Loader, node: yaml.ScalarNode, path: Path) -> Any:
    try:
        value = loader.construct_object(node)
    except (ValueError, KeyError, ArithmeticError):
        fault = f"{quoted(node.value)} is not {KINDS[node.tag.rpartition(':')[2]]}"
        raise GtaError(fault, where=_where(node, path)) from None
    if isinstance(value, str):
        for character in value:
            category = unicodedata.category(character)
            if category == "Cs" or (category == "Cc" and character not in "\t\n"):
                fault = f"{quoted(value)} holds the character U+{ord(character):04X}"
                raise GtaError(fault, where=_where(node, path))
    return value


def quoted(value: Any) -> str:
    """A value of the user's in a message: cut short, on one line, printable."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    text = redacted(text)
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 1]}…"


def redacted(text: str) -> str:
    """``text`` without the user names, passwords and queries of addresses in it."""
    hidden = re.sub(r"//[^/\s\"'?#]*@", "//…@", text)
    return re.sub(r"(//[^\s\"'?#]+\?)[^\s\"']+", r"\1…", hidden)


def _line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):  # whose text quotes the file, passwords too
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else None
        error_text = ", ".join(filter(None, (error.context, error.problem, place)))
    else:
        error_text = str(error)
    text = redacted(" ".join(error_text.split()))
    return text if len(text) <= 4 * QUOTED else f"{text[: 4 * QUOTED - 1]}…"


def with_exponents(content: Any) -> Any:
    """``content`` of another YAML reader, its texts like ``1e-4`` as the numbers they mean."""
    if isinstance(content, Mapping):
        return {key: with_exponents(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_exponents(value) for value in content]
    if isinstance(content, str) and _EXPONENT.match(content):
        return float(content)
    return content
