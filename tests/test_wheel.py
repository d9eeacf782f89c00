"""The wheel holds all that a project needs: no repository is there when it is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PARTS = ("gta", "config", "workflow", "notebooks", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as its wheel holds it."""
    pytest.importorskip("setuptools", reason="wheels are built with it")
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = ROOT / part
        if path.is_dir():
            no_caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, source / part, symlinks=True, ignore=no_caches)
        else:
            shutil.copyfile(path, source / part)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", "-q", "--no-deps", "--no-build-isolation"],
        cwd=source,
        check=True,
    )
    (wheel,) = source.glob("gta-*.whl")
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, folder: Path, *command: str) -> str:
    """What a Python module prints, run in a folder with the wheel's package alone."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GTA_")}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(folder / ".cache")}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_commands_without_a_repository(installed: Path, tmp_path: Path) -> None:
    assert "study mini: 306 runs" in run(installed, tmp_path, "gta", "runs")
    assert not list(tmp_path.glob("*"))


def test_a_project_is_laid_out_and_runs(installed: Path, tmp_path: Path) -> None:
    project = tmp_path / "a study"
    assert "0 kept" in run(installed, tmp_path, "gta", "init", str(project))
    (project / "README.md").write_text("mine")
    again = run(installed, tmp_path, "gta", "init", str(project))
    assert "0 files written" in again
    assert (project / "README.md").read_text() == "mine"
    dry = run(installed, project, "snakemake", "-n", "--quiet", "rules")
    assert "train_0" in dry
    assert {"local", "slurm"} <= {path.name for path in project.iterdir() if path.is_symlink()}
