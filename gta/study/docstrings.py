"""Descriptions of classes and attributes from docstrings, for the schema and the reference."""

from __future__ import annotations

import inspect
import re

SECTION = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Yields):\s*$", re.MULTILINE)
ENTRY = re.compile(r"^(\w+(?:, \w+)*): ?(.*)$")


def summary_of(cls: type) -> str:
    """The docstring of a class up to its first section, in one line a paragraph."""
    text = SECTION.split(inspect.cleandoc(cls.__doc__ or ""), maxsplit=1)[0]
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def attributes_of(cls: type) -> dict[str, str]:
    """Descriptions of attributes in the ``Attributes:`` sections of a class and its bases.

    An entry may name several attributes: ``rows, columns: fields of a cell``.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _own_attributes(vars(base).get("__doc__") or "")
    return found


def _own_attributes(docstring: str) -> dict[str, str]:
    parts = SECTION.split(inspect.cleandoc(docstring))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc("\n" + sections.get("Attributes", "")).splitlines():
        entry = ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found
