"""Configs, templates and recipes of containers say what they have to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

STUDIES = [path for path in sorted((ROOT / "config").glob("*.yaml")) if path.name != "tables.yaml"]
MAIN = {"mini", "mini-fresh", "mini-full", "flowers", "grocery", "paper"}


def head(path: Path) -> str:
    """The comment that a config begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_config_begins_with_what_it_is(path: Path) -> None:
    assert head(path)
    if path.stem in MAIN:
        assert re.search(r"snakemake( |$)", head(path), re.MULTILINE), "the command"
        assert "Time" in head(path)
        assert re.search(r"[Ee]xpected", head(path))


def test_templates_are_forms() -> None:
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= form.keys()
            assert all("label" in part["attributes"] for part in form["body"])


def test_containers_install_what_the_package_is() -> None:
    for name in ("Dockerfile", "gta.def"):
        recipe = (ROOT / "container" / name).read_text(encoding="utf-8")
        assert "python:" in recipe
        assert ".[notebooks]" in recipe
        assert "download.pytorch.org/whl/" in recipe


def test_the_changelog_has_this_version() -> None:
    import gta

    assert f"## {gta.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
