"""The overlay of the miniature: every cell of the paper's study, few runs, few jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gta.catalog import SOURCES
from gta.study import Study
from gta.study.load import merge, read_yaml
from tests.miniature.build import OVERLAY


def cells(study: Study) -> set[tuple[str, ...]]:
    """What runs are told apart by, but lambda and seed."""
    fields = ("dataset", "rate", "source", "method", "mix")
    return {tuple(map(run.text, fields)) for run in study.runs}


@pytest.fixture
def whole(root: Path, workdir: Path) -> Study:
    """The paper's study."""
    tables = {"tables_file": str(root / "config" / "tables.yaml")}
    return Study(read_yaml(root / "config" / "paper.yaml") | tables)


@pytest.fixture
def small(whole: Study) -> Study:
    """The miniature."""
    return Study(merge(whole.content, read_yaml(OVERLAY)))


def test_it_has_every_cell_of_the_paper(whole: Study, small: Study) -> None:
    assert cells(small) == cells(whole)
    assert len(small.runs) == 250
    assert len(small.packs) == len(small.config.datasets) == 5
    assert {run.seed for run in small.runs} == {0}
    for key in ("datasets", "rates", "sources", "tables", "figures", "segmentation"):
        assert getattr(small.config, key) == getattr(whole.config, key)


def test_its_sources_are_small_and_lie_beside_the_papers(whole: Study, small: Study) -> None:
    for source in whole.config.sources.values():
        assert whole.source_info(source) == SOURCES[source]
        assert small.source_info(source).architecture == small.config.recipe.architecture
        assert small.weights(source) != whole.weights(source)
