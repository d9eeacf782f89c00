"""`gta compare`: two studies, cell by cell, and what differs in their recipes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

import gta
from gta.cli import app
from gta.compare import compare, recipe_differences
from gta.results import write_collected
from gta.study import Study
from tests.support.finished import CONFIG


@pytest.fixture
def worse(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same study with another name and split, whose GTA at 15 % is 3 points worse."""
    monkeypatch.chdir(finished)
    config = {**CONFIG, "study": "worse"}
    folder = tmp_path / "results" / "worse"
    shutil.copytree("results/mini", folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    study = Study(config, folder=folder)
    metrics = pd.read_parquet(folder / "metrics.parquet")
    changed = (metrics["method"] == "gta") & (metrics["rate"] == 15)
    metrics.loc[changed, "acc1"] -= 3
    schema = pq.read_schema(folder / "metrics.parquet")
    write_collected(study, pa.Table.from_pandas(metrics, schema, preserve_index=False))
    assert study.folder == folder
    return folder


def test_a_study_is_equal_to_itself(in_finished: Path) -> None:
    study = gta.open("mini")
    cells = compare(study, study)
    assert len(cells) == 6
    assert (cells["difference"] == 0).all()
    assert (cells[["low", "high"]] == 0).all().all()
    assert recipe_differences(study, study) == []


def test_a_loss_fails_where_that_is_asked_for(worse: Path) -> None:
    arguments = ["compare", "mini", str(worse), "--selection", "test", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--fail-below", "2"])
    assert done.stdout, done.exception
    report = json.loads(done.stdout)
    assert (done.exit_code, report["failed"]) == (1, 1)
    (lost,) = (cell for cell in report["cells"] if cell["difference"] < 0)
    assert (lost["method"], lost["rate"], lost["difference"]) == ("gta", 15, pytest.approx(-3))
    assert CliRunner().invoke(app, [*arguments, "--fail-below", "5"]).exit_code == 0
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_recipes_are_compared_key_by_key(in_finished: Path, tmp_path: Path) -> None:
    changed = {**CONFIG, "recipe": {**CONFIG["recipe"], "lr": 1e-3}, "seeds": [0, 1, 2]}
    one, other = Study(CONFIG), Study(changed)
    found = recipe_differences(*(gta.StudyResults(study) for study in (one, other)))
    assert found == [("recipe.lr", 5e-4, 1e-3), ("seeds", [0, 1], [0, 1, 2])]
