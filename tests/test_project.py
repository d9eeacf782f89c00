"""Paths are read in one way: project folder, ``~``, environment, and files of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from gta.project import as_typed, find_config, find_project, folder_of, shared
from gta.study import Study
from tests.support.commands import error_of, gta


@pytest.fixture
def project(workdir: Path) -> Path:
    """A project with a workflow, a config of its own and a folder below."""
    for folder in ("config", "notebooks/deep", "results/old"):
        (workdir / folder).mkdir(parents=True)
    (workdir / "Snakefile").touch()
    (workdir / "config" / "own.yaml").write_text(shared("config/mini.yaml").read_text())
    return workdir


@pytest.mark.parametrize("below", ["notebooks", "notebooks/deep", "config"])
def test_the_project_is_the_nearest_folder_above(
    project: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_project() == Path()
    monkeypatch.chdir(project / below)
    assert find_project() == project
    study = Study.load(["own"])
    assert study.folder == project / "results" / "mini"
    assert study.store_root == project / "data" / "store"


def test_a_working_folder_of_its_own_is_a_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "notebooks" / "results").mkdir()
    monkeypatch.chdir(project / "notebooks")
    assert find_project() == Path()


def test_without_a_project_the_configs_of_the_package_are_used(workdir: Path) -> None:
    study = Study.load(["mini"])
    assert study.folder == Path("results/mini")
    assert as_typed(study.files[0]) == "config/mini.yaml"
    assert study.tables_file == shared("config/tables.yaml")
    assert "306 runs" in gta("runs")
    assert "1,470 runs" in gta("runs", "--config", "paper")
    assert error_of("runs", "--config", "nowhere.yaml").startswith("nowhere.yaml: cannot be read")


def test_a_config_of_the_project_comes_first(project: Path) -> None:
    mine = project / "config" / "mini.yaml"
    mine.write_text(shared("config/mini.yaml").read_text())
    assert find_config(Path("mini")) == Path("config/mini.yaml")
    assert find_config(Path("paper")) == shared("config/paper.yaml")


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        (None, "here/data/store"),
        ("", "here/data/store"),
        ("  ", "here/data/store"),
        ("elsewhere", "here/elsewhere"),
        ("./elsewhere", "here/elsewhere"),
        ("/big/disk", "/big/disk"),
        ("~/store", "/home/me/store"),
    ],
)
def test_environment_variables(
    value: str | None, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    if value is None:
        monkeypatch.delenv("GTA_STORE", raising=False)
    else:
        monkeypatch.setenv("GTA_STORE", value)
    assert folder_of("GTA_STORE", "data/store", Path("here")) == Path(folder)
