"""Fixtures that many tests share. Nothing here imports torch, except for tests of a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Before anything imports numpy or torch: tests run side by side, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import yaml

from gta.study import Study

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("gta", deadline=None)
hypothesis.settings.load_profile("gta")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    of_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not of_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in of_gpu:
            item.add_marker(pytest.mark.skip(reason="there is no GPU that torch can use"))


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """A small valid study: two datasets, two rates, two seeds, table 2 (64 runs).

    Its sources fill every role, so that a test may ask for any table of ``config/tables.yaml``.
    """
    return {
        "study": "tiny",
        "datasets": ["mini_near", "mini_far"],
        "rates": [15, 100],
        "seeds": [0, 1],
        "sources": {
            "main": "tiny_ibot",
            "other_ssl": "tiny_dino",
            "supervised": "tiny_supervised",
        },
        "methods": {
            "attention_only": {},
            "ffn_only": {},
            "l2_sp": {"grid": [0.01]},
            "bss": {"grid": [0.001]},
            "gta": {"grid": [0.01, 0.1, 1], "reduction": "sum"},
        },
        "recipe": {
            "architecture": "vit_mini_patch8",
            "image_size": 48,
            "batch_size": 8,
            "iterations": 4,
            "lr": 1.0e-3,
        },
        "tables": ["table2"],
        "tables_file": str(ROOT / "config" / "tables.yaml"),
    }


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: ``data`` and ``results`` are written there."""
    for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny_study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """The study of ``tiny_config``, its results in an empty folder."""
    return Study(tiny_config)


@pytest.fixture
def config(tiny_config: dict[str, Any], workdir: Path) -> str:
    """A config file of a small study, in an otherwise empty working folder."""
    Path("study.yaml").write_text(yaml.safe_dump(tiny_config), encoding="utf-8")
    return "study.yaml"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a small study that is done; tests must not change it."""
    from tests.support.finished import finish

    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def in_finished(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the working folder."""
    for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS", "GTA_STUDY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(finished)
    return finished
