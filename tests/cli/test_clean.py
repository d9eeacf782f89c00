"""``gta clean``: it shows, asks, and removes; a config that it cannot read stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gta.cli import app, main
from gta.files import write_text
from gta.results.retire import retire
from gta.study import Study
from tests.support.left import contents, finish

ABOUT = '{"format": 1, "digest": "0"}'


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """A study whose config lies in ``config``, with a retired result and an unused store."""
    write_text(Path("config/tiny.yaml"), yaml.safe_dump(tiny_config))
    study = Study.load(["config/tiny.yaml"])
    for run in study.runs[:2]:
        finish(study, run)
    retire(study, study.runs[:1])
    write_text(study.store_root / "mini_near-0123456789ab" / "store.json", ABOUT)
    return study


def clean(*arguments: str, answer: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["clean", *arguments], input=answer)
    return done.exit_code, done.output


def error_of(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["clean", *arguments])
    return str(stop.value.code)


def test_it_shows_and_asks(study: Study) -> None:
    before = contents(Path())
    status, said = clean("--dry-run")
    assert status == 0
    assert said.startswith("studies: tiny\n")
    assert "results/tiny/retired/" in said
    assert "data/store/mini_near-0123456789ab" in said
    assert "2 to remove" in said
    assert clean(answer="n\n")[0] == 1
    assert contents(Path()) == before
    status, said = clean(answer="y\n")
    assert status == 0
    assert "removed 2" in said
    assert not (study.folder / "retired").exists()
    assert clean("--yes") == (0, "studies: tiny\nnothing to remove\n")


def test_kinds_can_be_named(study: Study) -> None:
    assert clean("stores", "--yes")[0] == 0
    assert (study.folder / "retired").exists()
    assert not (study.store_root / "mini_near-0123456789ab").exists()


def test_another_studys_store_stays_where_its_config_is_given(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    write_text(Path("own.yaml"), yaml.safe_dump({"study": "own", "procedural": {"seed": 9}}))
    store = Study.load(["config/tiny.yaml", "own.yaml"]).store("mini_near")
    write_text(store / "store.json", ABOUT)
    _, said = clean("stores", "-n")
    assert str(store) in said
    _, said = clean("stores", "-n", "--study", "config/tiny.yaml,own.yaml")
    assert said.startswith("studies: tiny, own\n")
    assert str(store) not in said


def test_results_of_an_unknown_study_are_left_alone(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    record = {**tiny_config, "study": "own", "procedural": {"seed": 9}}
    write_text(Path("results/own/config.yaml"), yaml.safe_dump(record))
    finish(Study(record), Study(record).runs[0])
    store = Study(record).store("mini_near")
    write_text(store / "store.json", ABOUT)
    before = contents(Path("results/own"))
    status, said = clean("--yes")
    assert status == 0
    assert "left alone: results/own" in said
    assert contents(Path("results/own")) == before
    assert store.exists()


def test_long_lists_are_cut_unless_asked_for(study: Study) -> None:
    for number in range(3):
        for ending in ("csv", "md", "tex", "html"):
            write_text(study.folder / "tables" / f"old{number}.{ending}", "")
    assert "… and 3 more (--list names all)" in clean("pages", "-n")[1]
    said = clean("pages", "-n", "--list")[1]
    assert all(f"tables/old{number}.csv" in said for number in range(3))


def test_a_config_that_cannot_be_read_stops_it(study: Study, tiny_config: dict[str, Any]) -> None:
    write_text(Path("config/broken.yaml"), yaml.safe_dump({**tiny_config, "rates": [0]}))
    assert "config/broken.yaml: rates" in error_of("--yes")
    Path("config/broken.yaml").unlink()
    write_text(Path("config/twin.yaml"), yaml.safe_dump({**tiny_config, "seeds": [5]}))
    assert "are both named 'tiny'" in error_of("--yes")
    assert (study.folder / "retired").exists()


def test_without_any_config(workdir: Path) -> None:
    assert "--study" in error_of()
