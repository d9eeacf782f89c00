"""What a real run of the DAG leaves, and what a change re-runs: a study of seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

# One worker runs them all: the study that they start from takes longest.
pytestmark = pytest.mark.xdist_group("rerun")

ROOT = Path(__file__).resolve().parents[2]

TABLES = {
    "tables": {
        "small": {
            "kind": "accuracy",
            "title": "Small",
            "caption": "Fine-tuning and GTA.",
            "groups": ["dataset"],
            "rows": ["method"],
            "columns": ["rate"],
            "cells": [{"source": ["main"], "method": ["finetune", "gta"]}],
        }
    }
}

STUDY: dict[str, Any] = {
    "study": "small",
    "datasets": ["mini_near"],
    "rates": [100],
    "seeds": [0],
    "sources": {"main": "tiny_ibot"},
    "methods": {"gta": {"grid": [0.1]}},
    "recipe": {
        "architecture": "vit_mini_patch8",
        "image_size": 48,
        "batch_size": 8,
        "iterations": 2,
        "lr": 1.0e-3,
        "augment": {"crop": "none"},
    },
    "procedural": {"train_per_class": 2, "heldout_images": 10, "test_images": 20},
    "pack": ["method", "lam"],
    "tables": ["small"],
    "tables_file": "tables.yaml",
}

SNAKEMAKE = ["--cores", "1", "--snakefile", str(ROOT / "workflow/Snakefile")]


class Folder:
    """A working folder of its own, with the small study in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables = TABLES

    def run(self, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Call Snakemake on the study with some keys changed."""
        snakemake = [sys.executable, "-m", "snakemake", "--configfile", "small.yaml"]
        return self._call([*snakemake, *SNAKEMAKE, *arguments], **changes)

    def rerun(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call `gta rerun` on the study's table."""
        gta = [str(Path(sys.executable).with_name("gta")), "rerun", "small", "-c", "small.yaml"]
        return self._call([*gta, *arguments, "--yes", "--", *SNAKEMAKE])

    def _call(self, command: list[str], **changes: Any) -> subprocess.CompletedProcess[str]:
        (self.path / "tables.yaml").write_text(yaml.safe_dump(self.tables))
        (self.path / "small.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
        return subprocess.run(
            command,
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def part(self, method: str, lam: str) -> Path:
        """A run's metrics file."""
        run = f"dataset=mini_near/rate=100/source=tiny_ibot/method={method}/mix=none/lam={lam}"
        return self.path / "results/small/metrics" / run / "seed=0/part.parquet"

    def table(self) -> str:
        """The study's table."""
        return (self.path / "results/small/tables/small.md").read_text(encoding="utf-8")

    def collected(self) -> int:
        """Number of runs in the collected metrics."""
        return pq.ParquetFile(self.path / "results/small/metrics.parquet").read().num_rows

    def row(self, method: str, lam: str) -> dict[str, Any]:
        """A run's metrics."""
        return pq.ParquetFile(self.part(method, lam)).read().to_pylist()[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The small study, run once from nothing."""
    folder = Folder(tmp_path_factory.mktemp("small"))
    finished = folder.run()
    assert finished.returncode == 0, finished.stderr
    return folder


def test_everything_named_is_there_and_nothing_half_written(done: Folder) -> None:
    results = done.path / "results/small"
    assert done.collected() == 2
    assert {path.suffix for path in (results / "tables").iterdir()} == {
        ".csv",
        ".html",
        ".md",
        ".tex",
    }
    assert not [path for path in done.path.rglob(".*.parquet") if ".snakemake" not in path.parts]


def test_a_second_call_has_nothing_to_do(done: Folder) -> None:
    assert "Nothing to be done" in done.run().stderr


def test_a_change_of_captions_trains_nothing(done: Folder) -> None:
    done.tables = {"tables": {"small": {**TABLES["tables"]["small"], "caption": "Another."}}}
    try:
        planned = done.run("-n", "-q", "rules")
        assert "train" not in planned.stdout + planned.stderr
        assert "table" in planned.stdout + planned.stderr
    finally:
        done.tables = TABLES


def test_one_run_of_a_pack_again(done: Folder) -> None:
    old, table = done.part("gta", "0.1"), done.path / "results/small/tables/small.md"
    before = old.read_bytes(), done.part("finetune", "0").read_bytes(), done.row("gta", "0.1")
    made = table.stat().st_mtime_ns
    again = done.rerun("--method", "gta")
    assert again.returncode == 0, again.stderr
    (retired,) = (done.path / "results/small/retired").iterdir()
    name = old.relative_to(done.path / "results/small")
    assert (retired / name).read_bytes() == before[0]
    assert done.part("finetune", "0").read_bytes() == before[1]
    assert old.read_bytes() != before[0]  # it holds when it was made
    assert done.row("gta", "0.1")["acc1"] == before[2]["acc1"]
    assert table.stat().st_mtime_ns > made
    assert "1 runs trained; test accuracy as before in 1 of 1" in again.stdout
    assert "Nothing to be done" in done.run().stderr


def test_a_lambda_more_trains_it_alone_and_a_failing_run_loses_no_other(done: Folder) -> None:
    before = {name: done.row(*name) for name in (("finetune", "0"), ("gta", "0.1"))}
    methods = {"gta": {"grid": [0.1, 1]}}

    broken = done.run(
        methods=methods,
        overrides=[{"method": ["gta"], "recipe": {"lr": 1e30}}],
    )
    assert broken.returncode != 0
    assert "is not finite" in broken.stderr + broken.stdout
    assert done.row("finetune", "0") == before["finetune", "0"]
    assert not done.part("gta", "1").exists()
    # the table is there, with the reason and the log in the place of the number
    for said in ("failed: the loss is not finite at iteration", "; log: results/small/logs/train/"):
        assert said in done.table()

    mended = done.run(methods=methods)
    assert mended.returncode == 0, mended.stderr
    assert done.row("finetune", "0") == before["finetune", "0"]
    assert done.row("gta", "0.1")["recipe_digest"] == before["gta", "0.1"]["recipe_digest"]
    assert done.row("gta", "1")["iterations"] == 2
    assert not list((done.path / "results/small/failures").rglob("error.txt"))
    assert done.collected() == 3
