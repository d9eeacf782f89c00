"""The DAG as Snakemake builds it: dry runs, lint, and what leaks from one study to another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.study import Study
from gta.study.discover import discover
from gta.workflow.configs import typed

ROOT = Path(__file__).resolve().parents[2]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call Snakemake on the project's Snakefile, in a folder of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile")]
    return subprocess.run(
        [*command, "--directory", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def job_counts(output: str) -> dict[str, int]:
    """The job table of ``-n -q rules``."""
    rows = (line.split() for line in output.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with nothing but the project's configs."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    return tmp_path


TRAINING_JOBS = {
    "paper": 150,
    "mini": 12,
    "mini-full": 24,
    "mini-fresh": 40,
    "grocery": 72,
    "grocery-lr": 2,
}


@pytest.mark.parametrize("files", list(discover(ROOT / "config")), ids=lambda files: files[-1].stem)
def test_dry_run_needs_no_archive_and_no_weights(folder: Path, files: tuple[Path, ...]) -> None:
    done = snakemake(folder, "-n", "-q", "rules", "--configfile", *map(str, files))
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    training = sum(n for rule, n in counts.items() if rule.startswith("train"))
    assert training == TRAINING_JOBS.get(files[-1].stem, training)
    assert {path.name for path in folder.iterdir()} <= {"config", ".snakemake"}


def test_nothing_of_the_default_study_leaks_into_another(
    folder: Path, tiny_config: dict[str, Any]
) -> None:
    given = {**tiny_config, "study": "alone"}
    config = folder / "alone.yaml"
    config.write_text(yaml.safe_dump(given))
    weights = str(Study(given).weights("tiny_ibot"))
    done = snakemake(folder, weights, "--configfile", str(config))
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((folder / "results/alone/config.yaml").read_text()) == given


def test_config_options_are_typed_and_change_the_default_study(folder: Path) -> None:
    recipe = "recipe={lr: 1e-4, micro_batch: null, compile: true, betas: [0.9, 0.99]}"
    options = ["study=other", recipe, "seeds=[0,1]", "checkpoint_seconds=60"]
    done = snakemake(folder, "-n", "-q", "rules", "--config", *options)
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    assert sum(n for rule, n in counts.items() if rule.startswith("train")) == 8  # of 12
    wrong = snakemake(folder, "-n", "--config", "recipe={compile: 3}")
    assert "recipe.compile: 3 should be" in wrong.stderr


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("1e-4", 1e-4),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("mini", "mini"),
        (".5", 0.5),
        ("2024-01-01", "2024-01-01"),
        ("1.0.2", "1.0.2"),
        ("a: b", "a: b"),
        (["1", {"x": "2"}], [1, {"x": 2}]),
        (7, 7),
    ],
)
def test_texts_of_the_command_line_are_read_as_in_a_file(given: Any, meant: Any) -> None:
    assert typed(given) == meant
    assert type(typed(given)) is type(meant)


@pytest.mark.parametrize("option", ["--configfile ", "--configfile=", "--configfiles "])
def test_a_config_that_is_code_is_refused_before_it_runs(folder: Path, option: str) -> None:
    text = (ROOT / "config" / "mini.yaml").read_text(encoding="utf-8")
    code = f"__use_yte__: true\n__definitions__:\n  - open({str(folder / 'ran')!r}, 'w')\n"
    (folder / "code.yaml").write_text(text + code, encoding="utf-8")
    done = snakemake(folder, "-n", *f"{option}{folder}/code.yaml".split())
    assert done.returncode != 0
    assert re.search(r"code.yaml: __(use_yte|definitions)__: runs code in Snakemake", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rates": [0]}, "should be greater than 0"),
        ({"colour": 1}, "colour: unknown key"),
        ({"tables": ["table9"]}, "declares no 'table9'"),
    ],
)
def test_a_bad_config_is_one_line_before_any_job(
    folder: Path, tiny_config: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    config = folder / "bad.yaml"
    config.write_text(yaml.safe_dump({**tiny_config, **change}))
    done = snakemake(folder, "-n", "--configfile", str(config))
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "bad.yaml" in lines[0]
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()


def test_lint_is_clean() -> None:
    done = snakemake(ROOT, "--lint")
    assert done.returncode == 0, done.stdout + done.stderr
