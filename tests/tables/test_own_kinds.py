"""A kind of table and a kind of figure from outside the package: a file and a stanza each."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.figures import FigureKind
from gta.page import build
from gta.study import Study
from gta.study.kinds import discover
from gta.tables import TableKind
from tests.page.synthetic import leave_results
from tests.support.commands import gta


def example(kind: type) -> tuple[str, str]:
    """The class and the stanza that a base class gives as the example in its docstring."""
    text = inspect.getdoc(kind)
    assert text is not None
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("    ") or not line:
            blocks[-1].append(line)
        else:
            blocks.append([])
    code = [textwrap.dedent("\n".join(block)) for block in blocks if any(block)]
    return next(c for c in code if "import" in c), next(c for c in code if "own_kinds:" in c)


@pytest.fixture
def files(tiny_config: dict[str, Any], workdir: Path) -> list[Path]:
    """A study whose config lies in a folder of its own, the two files beside it."""
    content: dict[str, Any] = {**tiny_config, "keep_weights": "none", "tables": ["table2"]}
    Path("mine/kinds").mkdir(parents=True)
    for kind in (TableKind, FigureKind):
        code, stanza = example(kind)
        for key, value in yaml.safe_load(stanza).items():
            content.setdefault(key, {}).update(value)
    for name, own in content["own_kinds"].items():
        code, _ = example(TableKind if name in content["own_tables"] else FigureKind)
        Path("mine", own["file"]).write_text(code, encoding="utf-8")
    Path("mine/study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return [Path("mine/study.yaml")]


def test_they_are_written_and_on_the_page(files: list[Path]) -> None:
    study = Study.load(files)
    leave_results(study)
    config = ["--config", str(files[0])]
    gta("table", "spread", "--write", *config)
    gta("figure", "seeds", *config)
    table = (study.folder / "tables/spread.md").read_text(encoding="utf-8")
    assert table.startswith("# Spread over seeds\n")
    assert "| GTA | 0.20 (λ 0.01 sum) | 0.20 (λ 0.01 sum) |" in table
    numbers = (study.folder / "figures/seeds.csv").read_text(encoding="utf-8").splitlines()
    assert numbers[0] == "method,lam,seed,acc1"
    page = build(study)
    assert "spread: Spread over seeds" in page
    assert "seeds: Accuracy by seed" in page
    assert 'src="data:image/png' in page


def test_jobs_read_them_from_a_config_that_lies_elsewhere(files: list[Path]) -> None:
    gta("config", "--config", str(files[0]), "--out", "results/tiny/config.yaml")
    study = Study.load([Path("results/tiny/config.yaml")])
    assert list(study.tables) == ["table2", "spread"]
    assert list(study.figures) == ["seeds"]
    assert study.shown_by("spread") == Study.load(files).shown_by("spread")


def test_an_edit_shows_it_again_and_retrains_nothing(files: list[Path]) -> None:
    before = Study.load(files)
    path = Path("mine/kinds/spread.py")
    path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    after = Study.load(files)
    assert before.shown_by("spread") != after.shown_by("spread")
    assert before.shown_by("table2") == after.shown_by("table2")
    assert [*map(before.digest, before.runs)] == [*map(after.digest, after.runs)]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"own_kinds": {}}, "own_tables.spread.kind: there is no kind 'spread'; known: accuracy,"),
        ({"own_kinds": {"gains": {"file": "kinds/spread.py"}}}, "'gains' is a kind of the package"),
        ({"own_kinds": {"spread": {"file": "kinds/none.py"}}}, "none.py: cannot be read: No such"),
        ({"own_kinds": {"x": {"file": "kinds/spread.py"}}}, "name = 'x'; it has: spread"),
        ({"own_tables": {"table2": {"title": "T", "caption": ""}}}, "table2.kind: missing"),
        ({"tables": ["tabel2"]}, "config/tables.yaml declares no 'tabel2'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    files: list[Path], change: dict[str, Any], line: str
) -> None:
    content = yaml.safe_load(files[0].read_text(encoding="utf-8")) | change
    files[0].write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(GtaError) as error:
        Study.load(files)
    assert any(line in one for one in str(error.value).splitlines())


def test_a_stanza_of_a_declared_name_is_refused(files: list[Path]) -> None:
    content = yaml.safe_load(files[0].read_text(encoding="utf-8"))
    content["own_tables"]["table2"] = content["own_tables"]["spread"]
    files[0].write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(GtaError, match=r"mine/study\.yaml: own_tables\.table2: .* declares one"):
        Study.load(files)


def test_every_kind_is_documented_and_in_its_place() -> None:
    for name, kind in discover().items():
        assert kind.name == name
        assert type(kind).__doc__
        assert isinstance(kind, TableKind if kind.place == "tables" else FigureKind)


def test_masks_need_weights(tiny_config: dict[str, Any], workdir: Path) -> None:
    with pytest.raises(GtaError, match=r"tables\.table4: kind segmentation needs trained"):
        Study(tiny_config | {"tables": ["table4"], "keep_weights": "none"})
