"""The stamp in a generated page's head: a digest of what wrote it.

A test compares it with today's, so that a page whose generator, words or inputs' versions have
changed since is noticed (``tests/test_pages.py``).
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from gta.attention.measure import VERSION as SEGMENTATION_VERSION
from gta.catalog import READER_VERSION, RENDERER_VERSION, STORE_FORMAT
from gta.study import RECIPE_VERSION
from gta.tables.intervals import VERSION as INTERVALS_VERSION

# Raised by hand where the numbers in results come out otherwise.
VERSIONS = {
    "intervals": INTERVALS_VERSION,
    "reader": READER_VERSION,
    "recipe": RECIPE_VERSION,
    "renderer": RENDERER_VERSION,
    "segmentation": SEGMENTATION_VERSION,
    "store": STORE_FORMAT,
}
_STAMP = re.compile(r"^<!-- `([^`]+)` writes .* made by ([0-9a-f]{16}) -->$", re.MULTILINE)


def digest(sources: Iterable[Path], versions: Mapping[str, int] | None = None) -> str:
    """Digest of a page's generator, words and config, and of its inputs' versions.

    Args:
        sources: the files.
        versions: those that count; default: all of ``VERSIONS``.
    """
    wanted = VERSIONS if versions is None else dict(versions)
    total = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    for path in sources:
        total.update(path.name.encode() + b"\0" + _meaning(path))
    return total.hexdigest()[:16]


def _meaning(path: Path) -> bytes:
    """What a file says: a config without its comments, code without comments and layout."""
    content = path.read_bytes()
    if path.suffix == ".yaml":
        return json.dumps(yaml.safe_load(content), sort_keys=True, default=str).encode()
    if path.suffix == ".py":
        return ast.unparse(ast.parse(content)).encode()
    return content


def head(command: str, sources: Iterable[Path], versions: Mapping[str, int] | None = None) -> str:
    """The first line of a page."""
    made_by = digest(sources, versions)
    return f"<!-- `{command}` writes this page; do not edit. made by {made_by} -->"


def stamped(page: Path, command: str) -> str | None:
    """The digest in what a command has written into a page; None where there is none."""
    lines = _STAMP.finditer(page.read_text(encoding="utf-8"))
    return next((found[2] for found in lines if found[1] == command), None)
