"""The small study of the tests of training, with exact float32 arithmetic on the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.conftest import make_study

__all__ = ["make_study"]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """No TF32, which keeps ten bits of a factor; convolutions take it by default."""
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(autouse=True)
def _own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Locks of devices in the test's own folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
