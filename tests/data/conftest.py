"""Fixtures for tests of datasets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Gives real files that are too large to lie here; a test that needs an absent one is skipped.

    They are looked for in the folder GTA_TEST_SHARED, or ``shared`` beside the project.
    """
    folder = os.environ.get("GTA_TEST_SHARED")
    root = Path(folder) if folder else Path(__file__).resolve().parents[3] / "shared"

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"needs {name} in the folder GTA_TEST_SHARED")
        return root / name

    return find
