"""Lambda chosen on few seeds: the runs that the choice needs, and those that follow from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gta.errors import GtaError
from gta.study import RUN_FIELDS, Study
from gta.study.load import read_configs
from gta.study.points import Point
from gta.study.run import cell_of
from gta.study.tuning import FILE
from gta.tables import select
from gta.tables.choice import choose
from tests.support.commands import gta as run_gta
from tests.support.frames import metrics_frame
from tests.support.left import finish

TUNE = {"seeds": [0, 1, 2], "tune": {"seeds": [0]}}


@pytest.fixture
def tuned(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """A study of 32 cells, of which GTA's four have three lambdas."""
    return Study({**tiny_config, **TUNE})


def test_before_the_choice_other_seeds_have_no_run_of_a_method_with_several_lambdas(
    tuned: Study,
) -> None:
    assert {run.seed for run in tuned.runs if run.method == "gta"} == {0}
    assert {run.seed for run in tuned.runs if run.method == "l2_sp"} == {0, 1, 2}
    assert tuned.tuning is not None
    assert tuned.tuning.open_runs({}) == (2 * 4, 2 * 2 * 4)
    assert len(tuned.tuning.stand_ins({})) == 2 * 4


def test_a_choice_adds_its_runs_until_what_it_was_made_of_changes(
    tuned: Study, tiny_config: dict[str, Any]
) -> None:
    assert tuned.tuning is not None
    small, large = Point(0.1), Point(1.0)
    choice = {cell: {"test": small, "heldout": large} for cell in tuned.tuning.cells}
    first = next(iter(choice))
    choice[first] = {"test": small, "heldout": small}
    tuned.tuning.write(tuned.folder, choice)
    after = Study({**tiny_config, **TUNE})
    added = {*after.runs} - {*tuned.runs}
    assert {run.lam for run in added if cell_of(run) == first} == {0.1}
    assert {run.lam for run in added} == {0.1, 1.0}
    assert len(added) == 2 + 3 * 4
    assert [len(pack.runs) for pack in after.packs[len(tuned.packs) :]] == [1] * len(added)
    for run in added:
        job = after.pack({field: run.text(field) for field in RUN_FIELDS})
        assert (job.runs, job.name) == ((run,), after.run_files(run).job)
    for change in (
        {"tune": {"seeds": [1]}},
        {"recipe": {**tiny_config["recipe"], "lr": 0.1}},
        {"methods": {**tiny_config["methods"], "gta": {"grid": [0.1, 1], "reduction": "sum"}}},
    ):
        assert Study({**tiny_config, **TUNE, **change}).choice == {}
    (tuned.folder / FILE).write_text(json.dumps({"cells": 3}))
    assert Study({**tiny_config, **TUNE}).runs == tuned.runs


def test_learning_rates_are_chosen_as_lambdas_are(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    methods = {"finetune": {"lr": [1e-3, 2e-3]}, "gta": {"grid": [0.1, 1], "lr": [1e-3, 2e-3]}}
    content = {**tiny_config, **TUNE, "methods": methods, "rates": [15], "datasets": ["mini_near"]}
    study = Study(content)
    assert study.tuning is not None
    assert sorted(len(runs) for runs in study.tuning.cells.values()) == [3 * 2, 3 * 4]
    cells = study.tuning.cells.items()
    choice = {cell: {"test": Point(runs[-1].lam, "lr=0.002")} for cell, runs in cells}
    study.tuning.write(study.folder, choice)
    added = {*Study(content).runs} - {*study.runs}
    assert {(run.method, run.lam, run.tuned) for run in added} == {
        ("finetune", 0.0, "lr=0.002"),
        ("gta", 1.0, "lr=0.002"),
    }
    assert {study.recipe(run).lr for run in added} == {2e-3}


def test_lambda_is_chosen_on_one_seed_and_reported_on_all(
    tuned: Study, tiny_config: dict[str, Any]
) -> None:
    assert tuned.tuning is not None
    everything = Study({**tiny_config, "seeds": TUNE["seeds"]})
    # on seed 0 lambda 0.1 is best, on all seeds 1
    accuracies = {0.01: (1.0, 2.0, 3.0), 0.1: (9.0, 1.0, 2.0), 1.0: (8.0, 50.0, 50.0)}
    metrics = metrics_frame(
        everything, lambda run: accuracies.get(run.lam, (0.0,) * 3)[run.seed], lambda run: run.lam
    )
    table = select(tuned, metrics)
    for row in table[table["method"] == "gta"].to_dict("records"):
        lam, mean = (0.1, 4.0) if row["selection"] == "test" else (1.0, 36.0)
        assert (row["lam"], row["acc1_mean"], row["n"], row["seeds"]) == (lam, mean, 3, 3)

    planned = metrics_frame(tuned, lambda run: accuracies.get(run.lam, (0.0,))[0], lambda run: 0)
    table = select(tuned, planned)
    hole = table[table["method"] == "gta"].to_dict("records")[0]
    assert np.isnan([hole["lam"], hole["acc1_mean"]]).all()
    assert (hole["n"], hole["seeds"]) == (1, 3)
    assert hole["missing"].startswith("missing: λ is not chosen yet")
    assert hole["missing"].endswith("`gta choose`")


def test_the_command_chooses_when_its_runs_are_done(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    Path("study.yaml").write_text(json.dumps({**tiny_config, **TUNE, "datasets": ["mini_near"]}))
    study = Study.load(["study.yaml"])
    with pytest.raises(GtaError, match="6 of 6 runs that λ is chosen by are not done"):
        choose(study)
    assert study.tuning is not None
    for run in study.tuning.deciding:
        finish(study, run, acc1=50 + run.lam, heldout_acc1=50 - run.lam)
    said = run_gta("runs", "--config", "study.yaml")
    assert "λ is chosen on seeds 0: of 2 cells not yet; 4 to 8 more runs follow" in said
    status = json.loads(run_gta("status", "--config", "study.yaml", "--json"))
    assert status["undecided"] == {"cells": 2, "fewest": 4, "most": 8}
    assert "λ of 2 cells; 8 runs follow" in run_gta("choose", "--config", "study.yaml")
    counted = json.loads(run_gta("choose", "--config", "study.yaml", "--json"))
    assert (counted["cells"], counted["runs"]) == (2, 8)
    after = Study.load(["study.yaml"])
    assert [*after.choice.values()] == [{"test": Point(1.0), "heldout": Point(0.01)}] * 2
    assert len(after.runs) == len(study.runs) + 8


@pytest.mark.parametrize(
    ("seeds", "said"), [([7], "no seed of the study '7'"), ([0, 1], "names all seeds")]
)
def test_seeds_that_choose_nothing_are_an_error(
    tiny_config: dict[str, Any], seeds: list[int], said: str
) -> None:
    with pytest.raises(GtaError, match=said):
        Study({**tiny_config, "tune": {"seeds": seeds}})


def test_the_paper_tuned_on_one_seed_needs_a_third_fewer_runs(root: Path, workdir: Path) -> None:
    files = [root / "config" / name for name in ("paper.yaml", "paper-tuned.yaml")]
    content = {**read_configs(files), "tables_file": str(root / "config" / "tables.yaml")}
    study = Study(content)
    assert study.tuning is not None
    fewest, most = study.tuning.open_runs({})
    assert (len(study.runs) + fewest, len(study.runs) + most) == (890, 1110)
    whole = Study({**content, "tune": None})
    assert len(whole.runs) == 1470
    assert {study.digest(run) for run in study.runs} == {whole.digest(run) for run in whole.runs}
