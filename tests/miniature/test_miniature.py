"""The paper's study in miniature, from placed archives to tables, figures and notebooks.

It stays in ``build/miniature``, to be looked at.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from gta.catalog import SOURCES
from gta.models.prepared import read_metadata
from gta.results import read_collected
from gta.study import Study
from tests.miniature.build import ROOT, build
from tests.workflow.test_dag import job_counts

pytestmark = pytest.mark.slow

FOLDER = ROOT / "build" / "miniature"
CONFIGS = ["config/paper.yaml", "miniature.yaml"]
PROGRAMS = Path(sys.executable).parent
ACCURACY = ["table2", "table3", "table5", "table6", "tableA1"]
CELL = ["dataset", "source", "method", "mix", "rate"]
FORMS = {
    "ibot": "'state_dict', timm's names",
    "dino": "flat, timm's names",
    "supervised": "'model', timm's names",
}


def call(*command: str) -> str:
    """Run a program of this environment in the study's folder; gives all that it says."""
    program, *arguments = command
    unset = ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS", "SNAKEMAKE_PROFILE")
    done = subprocess.run(
        [str(PROGRAMS / program), *arguments],
        cwd=FOLDER,
        env={name: value for name, value in os.environ.items() if name not in unset},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def said() -> Iterator[str]:
    """Build and make the study, and stay in its folder; gives what Snakemake said."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    build(FOLDER)
    spoken = ""
    for target in ("all", "notebooks"):
        start = time.monotonic()
        spoken += call("snakemake", target, "--configfile", *CONFIGS)
        print(f"\nsnakemake {target}: {time.monotonic() - start:.0f} s")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(FOLDER)
        yield spoken


@pytest.fixture
def study(said: str) -> Study:
    return Study.load(CONFIGS)


def table_of(study: Study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.folder / "tables" / f"{name}.csv")


def test_every_rule_has_run_and_nothing_is_left_to_do(said: str) -> None:
    rules = {"fetch", "data", "source", "train_0", "collect", "intervals", "segmentation"}
    rules |= {"all", "notebook", "notebooks"}
    made = job_counts(said).keys()
    assert rules <= made
    for family in ("tables_of_", "figures_of_"):
        assert any(rule.startswith(family) for rule in made), family
    for target in ("all", "notebooks"):
        again = call("snakemake", target, "--dry-run", "--configfile", *CONFIGS)
        assert "Nothing to be done" in again


def test_snakemakes_own_report_is_written(said: str) -> None:
    call("snakemake", "all", "--configfile", *CONFIGS, "--report", "report.html")
    assert "</html>" in Path("report.html").read_text(encoding="utf-8")


def test_all_runs_are_done(study: Study) -> None:
    options = [word for config in CONFIGS for word in ("--config", config)]
    assert call("gta", "runs", *options).startswith("study miniature: 250 runs (250 done)")
    metrics = read_collected(study)
    assert len(metrics) == len(study.runs) == 250
    assert metrics["loss"].map(math.isfinite).all()


def test_sources_are_of_the_official_formats(study: Study) -> None:
    for source, form in FORMS.items():
        about = read_metadata(study.weights(source))
        assert about["origin_form"] == form
        archive = SOURCES[source].archive
        assert archive is not None
        assert about["origin"] == archive.file


def test_every_output_is_there(study: Study) -> None:
    for folder, names, formats in (
        ("tables", study.tables, ("csv", "md", "tex", "html")),
        ("figures", study.figures, ("pdf", "svg", "png", "csv")),
        ("notebooks", ("attention", "lambda", "own_analysis", "results"), ("html",)),
    ):
        files = {f"{name}.{form}" for name in names for form in formats}
        assert {path.name for path in (study.folder / folder).iterdir()} == files
        assert all((study.folder / folder / name).stat().st_size > 100 for name in files)
    assert {*study.tables} == {"table1", "table4", *ACCURACY, "agreement", "optimism"}
    assert {*study.figures} == {"figure1", "figureB1", "figure3", "figure4"}


@pytest.mark.parametrize("name", ACCURACY)
def test_every_accuracy_stands_beside_the_papers(study: Study, name: str) -> None:
    table = table_of(study, name)
    paper = pd.read_csv("config/reference/paper_accuracy.csv")
    paper = paper[paper["table"] == name].set_index(CELL).sort_index()
    for _, cells in table.groupby("selection"):
        cells = cells.set_index(CELL).sort_index()
        assert cells.index.equals(paper.index)
        assert (cells["paper_mean"] == paper["acc1_mean"]).all()
        assert cells["paper_std"].equals(paper["acc1_std"].rename("paper_std"))
        delta = cells["acc1_mean"] - cells["paper_mean"]
        assert cells["delta"].to_numpy() == pytest.approx(delta.to_numpy())
        # One seed has no deviation; where the paper has one, that alone judges.
        assert (cells["n"] == 1).all()
        assert cells["acc1_std"].isna().all()
        assert (cells["within"].notna() == cells["paper_std"].notna()).all()
    assert set(table["selection"]) == {"test", "heldout"}
    assert table["missing"].isna().all()


def test_the_counts_of_the_data_sets_stand_beside_the_papers(study: Study) -> None:
    table = table_of(study, "table1").set_index("dataset")
    paper = pd.read_csv("config/reference/dataset_statistics.csv", index_col="dataset")
    for count, built in {"classes": 4, "train_images": 22, "test_images": 20}.items():
        assert (table[count] == built).all()
        assert (table[f"paper_{count}"] == paper[count]).all()
        assert (table[f"delta_{count}"] == built - paper[count]).all()
    assert table["missing"].isna().all()


def test_masks_stand_beside_the_papers(study: Study) -> None:
    table = table_of(study, "table4")
    paper = 100 * pd.read_csv("config/reference/voc12_jaccard.csv", index_col="model")["jaccard"]
    assert table["paper_jaccard"].to_numpy() == pytest.approx(table["model"].map(paper).to_numpy())
    assert table["delta"].notna().all()
    assert table["missing"].isna().all()
    measured = table.groupby(["selection", "protocol"]).size()
    # the source before fine-tuning, then two methods at two rates on five datasets
    assert measured.to_list() == [1 + 2 * 2 * 5] * 2 * 4


def test_agreement_compares_every_cell_of_the_paper(study: Study) -> None:
    rows = table_of(study, "agreement").to_dict("records")
    found = {(row["selection"], row["by"], row["of"]): row for row in rows}
    cells = pd.read_csv("config/reference/paper_accuracy.csv").groupby(CELL).ngroups
    for selection in ("test", "heldout"):
        for name in ACCURACY:
            row = found[selection, "table", name]
            assert row["cells"] == row["compared"] == len(table_of(study, name)) / 2
        assert found[selection, "all", "all"]["compared"] == cells


def test_optimism_is_that_of_gta(study: Study) -> None:
    table = table_of(study, "optimism")
    assert set(table["method"]) == {"gta"}
    assert (table["optimism_mean"] >= 0).all()
    assert table["missing"].isna().all()


def test_the_pilot_ranks_the_readings_and_goes_on_with_the_nearest(said: str) -> None:
    """Which reading is nearest means nothing here; that every part runs and says its rank does."""
    options = [word for config in CONFIGS for word in ("--config", config)]
    spoken = call("gta", "pilot", *options, "--", "--quiet", "all")
    ranks = [
        line for line in spoken.splitlines() if " standard deviations from the paper; " in line
    ]
    assert len(ranks) == 7
    assert ranks[0].startswith("1. ")
    readings = pd.read_csv("results/paper-pilot/tables/pilot.csv")
    assert readings["distance"].notna().all()
    lambdas = pd.read_csv("results/paper-pilot-nearest/tables/pilot_lambda.csv")
    assert set(lambdas["method"]) == {"gta", "gta_sum"}
    for page in ("paper-pilot", "paper-pilot-nearest"):
        assert Path("results", page, "index.html").exists()
