"""The stamp in a generated page's head: a digest of what wrote it.

A test compares it with today's, so that a page whose generator, words or inputs' versions have
changed since is noticed (``tests/test_pages.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

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
_STAMP = re.compile(r"^<!-- .* made by ([0-9a-f]{16}) -->$", re.MULTILINE)


def digest(sources: Iterable[Path], versions: Mapping[str, int] | None = None) -> str:
    """Digest of a page's generator, words and config, and of its inputs' versions.

    Args:
        sources: the files.
        versions: those that count; default: all of ``VERSIONS``.
    """
    wanted = VERSIONS if versions is None else dict(versions)
    total = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    for path in sources:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def head(command: str, sources: Iterable[Path], versions: Mapping[str, int] | None = None) -> str:
    """The first line of a page."""
    made_by = digest(sources, versions)
    return f"<!-- `{command}` writes this page; do not edit. made by {made_by} -->"


def stamped(page: Path) -> str | None:
    """The digest in a page's head; None where it has none."""
    found = _STAMP.search(page.read_text(encoding="utf-8"))
    return found[1] if found else None
