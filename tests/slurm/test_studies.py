"""Whole studies through the cluster with the real ``gta``, and the accounting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.slurm.cluster import Cluster
from tests.slurm.conftest import HASTE, on
from tests.support.staged import ROOT, STUDY, StagedStudy, until

pytestmark = pytest.mark.xdist_group("slurm")


@pytest.fixture
def real(cluster: Cluster, tmp_path: Path) -> Iterator[StagedStudy]:
    """The folder of the staged study with the real `gta`."""
    with on(cluster, tmp_path, staged=False) as study:
        study.env["GTA_DEVICES"] = "cpu"  # the cluster's GPUs are files
        yield study


def test_a_study_and_its_table(real: StagedStudy) -> None:
    real.write("study.yaml", {**STUDY, "pack": ["method", "lam"]})
    real.finish(real.start("--profile", "slurm", *HASTE))
    results = real.folder / "results/staged"
    assert pq.ParquetFile(results / "metrics.parquet").read().num_rows == 3
    assert "GTA" in (results / "tables/small.md").read_text(encoding="utf-8")
    assert not real.half_written()
    assert "Nothing to be done" in real.finish(real.start("--profile", "slurm", *HASTE))


@pytest.mark.slow
def test_a_warned_training_goes_on_from_its_checkpoint_in_the_next_job(
    cluster: Cluster, real: StagedStudy
) -> None:
    long = {**STUDY["recipe"], "iterations": 200}
    real.write("study.yaml", {**STUDY, "recipe": long, "checkpoint_seconds": 0.2})
    head = real.start("--profile", "slurm", *HASTE, "--", str(real.part("gta-1")))
    kept = real.folder / "results/staged/checkpoints"
    until(lambda: [*kept.rglob("*.pt")], "a checkpoint", seconds=900)
    (training,) = [number for number, state in cluster.states().items() if state == "RUNNING"]
    cluster.warn(training)
    said = real.finish(head, seconds=900)
    assert cluster.job(training)["JobState"] == "FAILED"
    assert "stopped by SIGTERM" in said
    (log,) = (real.folder / "results/staged/logs/train").rglob("*.log")
    assert "goes on from iteration" in log.read_text(encoding="utf-8")
    (row,) = pq.ParquetFile(real.folder / real.part("gta-1")).read().to_pylist()
    assert row["iterations"] == 200


@pytest.mark.slow
def test_one_cell_again(cluster: Cluster, real: StagedStudy) -> None:
    real.write("study.yaml", {**STUDY, "pack": ["method", "lam"]})
    real.finish(real.start("--profile", "slurm", *HASTE), seconds=900)
    jobs = len(cluster.states())
    part, other = (real.folder / real.part(key) for key in ("gta-1", "gta-0.1"))
    before = part.read_bytes(), other.read_bytes()
    gta = [str(Path(sys.executable).with_name("gta")), "rerun", "small", "-c", "study.yaml"]
    cell = ["--method", "gta", "--lambda", "1", "--yes", "--profile", "slurm", "--", *HASTE]
    done = subprocess.run(
        [*gta, *cell],
        cwd=real.folder,
        env=real.env,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 runs trained; test accuracy as before in 1 of 1" in done.stdout
    (retired,) = (real.folder / "results/staged/retired").iterdir()
    old = retired / part.relative_to(real.folder / "results/staged")
    assert (old.read_bytes(), other.read_bytes()) == before
    assert part.read_bytes() != before[0]  # it holds when it was made
    assert len(cluster.states()) > jobs
    print(done.stdout)  # with `pytest -s`: the cell before and after


@pytest.mark.slow
def test_every_table_and_figure_of_the_paper_in_miniature(real: StagedStudy) -> None:
    config = yaml.safe_load((ROOT / "tests/configs/tiny.yaml").read_text(encoding="utf-8"))
    real.write("study.yaml", config)
    real.finish(real.start("--profile", "slurm", *HASTE), seconds=1800)
    results = real.folder / "results/tiny"
    for table in config["tables"]:
        assert (results / "tables" / f"{table}.md").exists()
    for figure in config["figures"]:
        assert (results / "figures" / f"{figure}.pdf").exists()
    assert "Nothing to be done" in real.finish(real.start("--profile", "slurm", *HASTE))


@pytest.mark.slow
def test_jobs_are_accounted_for_and_a_cancelled_one_does_not_hang(
    accounting_cluster: Cluster, tmp_path: Path
) -> None:
    with on(accounting_cluster, tmp_path) as staged:
        staged.ready()
        staged.order("gta-1", "wait go", "ok")
        staged.edit_profile("slurm", "# slurm_account: myproject ", "slurm_account: lab ")
        head = staged.start("--profile", "slurm", *HASTE, "--", str(staged.part("gta-1")))
        first = staged.wait_for("started", "gta-1")[0]["job"]
        accounting_cluster.cancel(first)
        staged.finish(head)
        second = staged.wait_for("started", "gta-1", 2)[1]["job"]
        accounts = accounting_cluster.accounts()
        assert accounts[first] == ["lab", "CANCELLED by 0"]
        assert accounts[second] == ["lab", "COMPLETED"]
