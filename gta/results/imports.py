"""Results that came from another machine in an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

IMPORTS = "imports"  # folder of a study's results: the manifest of each archive imported


def imported(folder: Path) -> list[dict[str, Any]]:
    """Manifests of the archives that were imported into a study's results."""
    found = []
    for path in sorted((folder / IMPORTS).glob("*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found
