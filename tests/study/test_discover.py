"""Which studies a folder of configs holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.study.discover import discover


def test_the_projects_own(root: Path) -> None:
    found = {tuple(file.name for file in files) for files in discover(root / "config")}
    assert {("paper.yaml",), ("mini.yaml",), ("mini.yaml", "mini-full.yaml")} <= found
    assert not any("tables.yaml" in files for files in found)


def test_a_whole_config_is_no_overlay_whatever_its_name(
    tmp_path: Path, tiny_config: dict[str, Any]
) -> None:
    for name in ("a.yaml", "a-b.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(tiny_config))
    assert list(discover(tmp_path)) == [(tmp_path / "a-b.yaml",), (tmp_path / "a.yaml",)]


def test_an_overlay_of_nothing_stops_unless_passed_over(tmp_path: Path) -> None:
    overlay = tmp_path / "own.yaml"
    overlay.write_text("{study: own, seeds: [1]}")
    with pytest.raises(GtaError, match=r"own.yaml: lacks datasets, .*<study>-<what>.yaml"):
        list(discover(tmp_path))
    assert list(discover(tmp_path, but={overlay})) == []
