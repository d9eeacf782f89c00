"""Writes docs/config.md: every key of a config and of ``tables.yaml``, from their models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.make import stamp
from docs.make.page import DOCS, ROOT, fill, markdown_row
from gta.study.own import HUB, SHA256
from gta.study.recipe import RANDAUGMENT
from gta.study.schema import as_text, study_schema, tables_schema
from gta.study.values import CHANGE, METHOD_NAME, NAME

PAGE, COMMAND = DOCS / "config.md", "python -m docs.make config"
HEAD = Path(__file__).with_name("config.head.md")
SOURCES = [Path(__file__), HEAD]
VERSIONS: dict[str, int] = {}  # it is made of no results

Schema = dict[str, Any]

SCHEMAS: dict[Path, Callable[[], Schema]] = {
    ROOT / "config" / "study.schema.json": study_schema,
    ROOT / "config" / "tables.schema.json": tables_schema,
}

# Forms of texts, by their patterns.
FORMS = {
    NAME: "name",
    METHOD_NAME: "name, or names with `+` between them",
    HUB: "name on the hub",
    SHA256: "hexadecimal digits",
    RANDAUGMENT: "policy",
}


@dataclass(frozen=True)
class Section:
    """A set of keys, as it stands on the page.

    Attributes:
        path: the keys that it stands under, as ``own_datasets.<name>``.
        about: what it is.
        keys: schema of each key.
        required: keys without a default.
        change: what a change of its keys does, where a key does not say.
        name: of its model; empty for the settings of a method.
    """

    path: str
    about: str
    keys: dict[str, Schema]
    required: frozenset[str] = frozenset()
    change: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        """The heading: its path, or what holds it."""
        return f"`{self.path}`" if self.path else "The study"

    @property
    def anchor(self) -> str:
        """The fragment that links to its heading."""
        return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", self.title).strip().lower())


def sections() -> list[Section]:
    """All sections, those of ``tables.yaml`` last; one used in several places stands once."""
    seen: set[str] = set()
    study = [*_sections(study_schema(whole=True), "", seen)]
    order = ["", *study[0].keys]
    study.sort(key=lambda section: order.index(re.split(r"\W", section.path)[0]))
    return [*study, *_sections(tables_schema(), "tables.yaml", seen)]


def _sections(schema: Schema, path: str, seen: set[str]) -> Iterator[Section]:
    defs = schema["$defs"]
    queue = [(path, schema, schema.get(CHANGE, ""))]
    while queue:  # breadth first, so that a shared section stands at its shortest path
        path, value, change = queue.pop(0)
        name = _name(value)
        if name:
            if name in seen:
                continue
            seen.add(name)
        value = {**value, **defs[name]} if name else value
        required = frozenset(value.get("required", ()))
        yield Section(
            path, value.get("description", ""), value["properties"], required, change, name
        )
        for key, inner in value["properties"].items():
            place = ".".join(filter(None, (path, key)))
            queue += [(*below, inner.get(CHANGE, change)) for below in _below(place, inner)]


def _name(value: Schema) -> str:
    return str(value.get("$ref", "")).rpartition("/")[2]


def _below(place: str, value: Schema) -> Iterator[tuple[str, Schema]]:
    """The sections inside a value, each with its path."""
    if "$ref" in value:
        yield place, value
    for branch in value.get("anyOf", ()):
        yield from _below(place, branch)
    for key, inner in value.get("properties", {}).items():
        if inner.get("properties"):
            yield f"{place}.{key}", inner
    for inner in value.get("patternProperties", {}).values():
        yield from _below(f"{place}.NAME", inner)
    if isinstance(value.get("items"), dict):
        yield from _below(f"{place}[]", value["items"])


class Words:
    """Types, bounds and defaults in plain words, with links to sections."""

    def __init__(self, found: Iterable[Section]) -> None:
        """Read where each section stands."""
        self._places = {section.name: section for section in reversed([*found]) if section.name}

    def of(self, value: Schema) -> str:
        """What a key may hold."""
        if name := _name(value):
            section = self._places[name]
            return f"[keys of `{section.path}`](#{section.anchor})"
        if "anyOf" in value:
            return "; or ".join(dict.fromkeys(map(self.of, value["anyOf"])))
        if "enum" in value or "const" in value:
            return either([f"`{one}`" for one in value.get("enum", [value.get("const")])])
        kind = value.get("type")
        if isinstance(kind, list):  # settings of a method
            return "keys"
        if kind == "array":
            return self._list(value)
        if kind == "object":
            return self._mapping(value)
        return {"boolean": "`true` or `false`", "null": "`null`"}.get(str(kind)) or scalar(value)

    def _list(self, value: Schema) -> str:
        inner = self.of(value.get("items", {}))
        least, most = value.get("minItems", 0), value.get("maxItems")
        if least == most:
            return f"list of {most}: {inner}"
        return f"list{', not empty' if least else ''}: {inner}"

    def _mapping(self, value: Schema) -> str:
        inner = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
        held = next((self.of(one) for one in inner if isinstance(one, dict)), "anything")
        if value.get("properties"):
            return "settings by name"
        return f"by name: {held}"


def either(texts: list[str]) -> str:
    """Alternatives in a sentence."""
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last


def scalar(value: Schema) -> str:
    """A text or a number with its bounds."""
    if "type" not in value or value["type"] == "string":
        return FORMS.get(value.get("pattern", ""), "text")
    words = "whole number" if value["type"] == "integer" else "number"
    least, above = value.get("minimum"), value.get("exclusiveMinimum")
    most, below = value.get("maximum"), value.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f"{words}, {number(least)} to {number(most)}"
    bounds = [("above", above), ("at least", least), ("at most", most), ("below", below)]
    told = [f"{word} {number(bound)}" for word, bound in bounds if bound is not None]
    return ", ".join((words, " and ".join(told)) if told else (words,))


def number(value: float) -> str:
    """A bound, with commas; the largest integer of 64 bits as a power."""
    if value == 2**63 - 1:
        return "2^63 - 1"
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def text() -> str:
    """The page."""
    found = sections()
    words = Words(found)
    keys = "\n".join(_section(section, words) for section in found)
    head = fill(HEAD, {"keys": keys})
    return f"{stamp.head(COMMAND, SOURCES, VERSIONS)}\n{head.rstrip()}\n"


def _section(section: Section, words: Words) -> str:
    head = ["key", "type and bounds", "default", "meaning", "after a change"]
    lines = [f"## {section.title}", "", plain(section.about), ""]
    if section.keys:
        lines += [markdown_row(head), markdown_row(["---"] * len(head))]
    for key, value in section.keys.items():
        default = "required" if key in section.required else _default(value)
        change = value.get(CHANGE, section.change)
        about = plain(value.get("description", ""))
        cells = [f"`{key}`", words.of(value), default, about, change]
        lines.append(markdown_row(cell.replace("|", "\\|") for cell in cells))
    return "\n".join(lines) + "\n"


def _default(value: Schema) -> str:
    default = value.get("default")
    if isinstance(default, dict):
        return "its keys' defaults" if default else "none"
    return f"`{json.dumps(default, ensure_ascii=False)}`" if default != [] else "none"


def plain(docstring: str) -> str:
    """Words of a docstring in Markdown."""
    return docstring.replace("``", "`")


def write() -> None:
    """Write the page, and the schemas that ship beside the configs."""
    PAGE.write_text(text(), encoding="utf-8")
    for path, schema in SCHEMAS.items():
        path.write_text(as_text(schema()), encoding="utf-8")
