"""The command line: what it prints, what it writes, and how it says what is wrong."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gta import files, results
from gta.cli import app, main
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.run import IDENTITY
from tests.support.commands import error_of, gta
from tests.support.left import metrics_row

NAME = "dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=1/seed=0"


COMMANDS = [command.name for command in app.registered_commands]
GROUPS = {group.name: group.typer_instance for group in app.registered_groups}


# Help and speed


def test_help_names_every_command() -> None:
    said = gta("--help")
    for name in (*COMMANDS, *GROUPS):
        assert name is not None
        assert name in said


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example(name: str) -> None:
    assert f"gta {name}" in gta(name, "--help").replace(f"Usage: gta {name}", "")


@pytest.mark.parametrize("name", GROUPS)
def test_help_of_each_group_names_its_commands(name: str) -> None:
    said = gta(name, "--help")
    for command in GROUPS[name].registered_commands:  # type: ignore[union-attr]
        assert str(command.name) in said


def test_version() -> None:
    import gta as package

    assert gta("--version").strip() == package.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["runs", "--config", "config/paper.yaml"]])
def test_looking_does_not_import_torch(arguments: list[str], root: Path) -> None:
    script = (
        "import sys; from gta.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print(*(m for m in ('torch', 'timm', 'pandas', 'matplotlib') if m in sys.modules),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


# runs


def test_runs_of_the_paper(root: Path, workdir: Path) -> None:
    Path("config").symlink_to(root / "config")
    said = gta("runs", "--config", "config/paper.yaml")
    assert said.startswith("study paper: 1,470 runs (1,470 missing)")
    rows = {tuple(line.split()[:2]): line.split() for line in said.splitlines() if line.strip()}
    assert rows["table2", "Methods"][-1] == "780"
    assert rows["iBOT", "L2-SP"][2:] == ["36"] * 5 + ["180"]
    assert rows["all", "294"][1:] == ["294"] * 5 + ["1,470"]


def finish(study: Study, run: Run, **columns: Any) -> None:
    results.write(study.run_files(run), "metrics", [metrics_row(study, run, **columns)])


def test_runs_shows_states(config: str) -> None:
    study = Study.load([config])
    done, stale, failed = study.runs[:3]
    finish(study, done)
    finish(study, stale, recipe_digest="another")
    files.write_text(study.run_files(failed).failure, "the loss is not finite\n")
    said = gta("runs", "--config", config)
    assert said.startswith("study tiny: 64 runs (1 done, 61 missing, 1 stale, 1 failed)")
    assert f"failed: {failed.name}\n  the loss is not finite" in said
    assert gta("runs", "--config", config, "--state", "stale", "--list") == f"{stale.name}\n"
    listed = json.loads(gta("runs", "--config", config, "--state", "failed", "--json"))
    assert listed == [
        {
            **{field: getattr(failed, field) for field in IDENTITY},
            "name": failed.name,
            "state": "failed",
            "reason": "the loss is not finite",
        }
    ]


def test_runs_lists_names_and_takes_a_table(config: str) -> None:
    study = Study.load([config])
    assert gta("runs", "--config", config, "--list").split() == [run.name for run in study.runs]
    assert len(json.loads(gta("runs", "--config", config, "--table", "table2", "--json"))) == 64


def test_runs_takes_an_overlay(config: str) -> None:
    Path("more.yaml").write_text("{study: more, seeds: [7]}", encoding="utf-8")
    said = gta("runs", "--config", config, "--config", "more.yaml")
    assert said.startswith("study more: 32 runs")


# config


def test_config_writes_the_merged_study(config: str) -> None:
    Path("more.yaml").write_text("{study: more, recipe: {lr: 1e-5}}", encoding="utf-8")
    gta("config", "--config", config, "--config", "more.yaml", "--out", "merged/config.yaml")
    merged = Study.load(["merged/config.yaml"])
    assert merged.content == Study.load([config, "more.yaml"]).content
    assert merged.config.recipe.lr == 1e-5


def test_config_takes_what_snakemake_has(config: str, tiny_config: dict[str, Any]) -> None:
    tiny_config["recipe"]["lr"] = "1e-5"  # as YAML 1.1 reads it
    gta("config", "--content", json.dumps(tiny_config), "--out", "config.yaml")
    assert Study.load(["config.yaml"]).config.recipe.lr == 1e-5


# data, source


def test_data_and_source_lists_tell_what_the_study_uses(config: str) -> None:
    data = {
        line.split()[0]: line
        for line in gta("data", "list", "--config", config).splitlines()
        if line.strip()
    }
    assert data["mini_near"].split()[1:3] == ["near", "rendered"]
    assert data["cub"].split()[-4:] == ["200", "5,994", "0", "5,794"]
    assert "place" in data["cars"].split()
    sources = gta("source", "list", "--config", config)
    assert "tiny_ibot" in sources
    assert "other_ssl" in sources


# train


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[list[Run], str, int]]]:
    """What is asked of the training loop: runs, device, threads."""
    import torch

    import gta.train

    asked: list[tuple[list[Run], str, int]] = []

    def train_runs(study: Study, runs: list[Run], device: str, progress: Any) -> None:
        for run in runs:
            progress(run, 1, 2)
        asked.append((runs, device, torch.get_num_threads()))

    before = torch.get_num_threads()
    monkeypatch.setattr(gta.train, "train_runs", train_runs)
    yield asked
    torch.set_num_threads(before)


def test_train_takes_names_of_runs(config: str, trained: list[Any]) -> None:
    run = Run.parse(NAME)
    other = Run.parse(NAME.replace("seed=0", "seed=1"))
    said = gta("train", run.name, f"{other.name}/", "--config", config, "--device", "cpu")
    assert trained == [([run, other], "cpu", 1)]
    assert said == "tiny: 2 run(s) done\n"  # no bar where there is no terminal


def test_train_takes_a_pack(
    config: str,
    tiny_config: dict[str, Any],
    trained: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu")  # also where there is a GPU
    tiny_config["pack"] = ["source", "method", "mix", "lam"]
    Path(config).write_text(yaml.safe_dump(tiny_config), encoding="utf-8")
    pack = "dataset=mini_near/rate=15/seed=0"
    gta("train", "--pack", pack, "--config", config, "--threads", "2")
    fields = {"dataset": "mini_near", "rate": "15", "seed": "0"}
    assert trained == [(list(Study.load([config]).pack(fields).runs), "cpu", 2)]


# collect


def test_collect_writes_what_is_done_and_names_the_rest(config: str) -> None:
    study = Study.load([config])
    finish(study, study.runs[0])
    said = gta("collect", "--config", config).splitlines()
    assert said[0] == "results/tiny/metrics.parquet: 1 of 64 runs"
    assert said[1:] == [f"missing: {run.name}: not run yet" for run in study.runs[1:]]
    assert len(results.read_collected(study)) == 1


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["runs", "--config", "none.yaml"],
            "none.yaml: cannot be read (No such file or directory)",
        ),
        (["runs", "--config", "bad.yaml"], "bad.yaml: rates.0: 0 should be greater than 0"),
        (["runs", "--table", "table9"], "study tiny has no 'table9'; it has: table2"),
        (["train"], "name the runs to train, or one --pack"),
        (["train", NAME, "--pack", "all"], "name the runs to train, or one --pack"),
        (["train", "cub"], "'cub' does not name a run; the form is dataset=…/rate=…/"),
        (["train", NAME.replace("lam=1", "lam=2")], "study tiny has no run dataset=mini_near/"),
        (["train", "--pack", "mini_near"], "--pack mini_near: 'mini_near' is not of the form"),
        (["train", "--pack", "dataset=mini_near"], "a job is named by dataset, rate,"),
        (["train", NAME, "--device", "gpu"], "device 'gpu' cannot be used"),
        (["data", "prepare", "cup"], "there is no dataset 'cup'; known: mini_near, mini_far, "),
        (["source", "prepare", "ibott"], "there is no source 'ibott'; known: tiny_ibot, "),
        (["config", "--content", "{", "--out", "c.yaml"], "--content is not JSON: "),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    said: str,
    config: str,
    tiny_config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("bad.yaml").write_text(yaml.safe_dump({**tiny_config, "rates": [0]}), encoding="utf-8")
    if "--config" not in arguments and "--content" not in arguments:
        arguments = [*arguments, "--config", config]
    assert error_of(*arguments).startswith(said)
    assert capsys.readouterr().out == ""


def test_interrupt_exits_with_130(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "load", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["runs"])
    assert stop.value.code == 130


def test_a_programmers_error_is_not_hidden(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Study, "load", fail)
    with pytest.raises(ZeroDivisionError):
        main(["runs", "--config", config])


def test_the_installed_program_prints_the_line_and_exits_with_1(workdir: Path) -> None:
    program = Path(sys.executable).with_name("gta")
    arguments = [str(program), "runs", "--config", "config/none.yaml"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: config/none.yaml: cannot be read (No such file or directory)\n"


def test_errors_of_use_exit_with_2(config: str) -> None:
    done = CliRunner().invoke(app, ["runs", "--colour"])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert not isinstance(done.exception, GtaError)


# table


@pytest.fixture
def finished(config: str, tiny_config: dict[str, Any]) -> Study:
    """A study of which all runs are done and collected, GTA ahead at 0.1 on held-out images."""
    study = Study.load([config])
    for run in study.runs:
        acc1 = 60.0 + run.lam if run.method == "gta" else 50.0
        heldout = 40.0 - abs(run.lam - 0.1)
        finish(study, run, acc1=acc1 + run.seed, heldout_acc1=heldout)
    gta("collect", "--config", config)
    return study


def test_table_prints_both_selections(finished: Study, config: str) -> None:
    said = gta("table", "table2", "--config", config)
    assert said == gta("table", "--config", config)  # the study's only table
    assert "λ by test accuracy" in said
    assert "61.50 ± 0.71" in said  # lambda 1, by test accuracy
    assert "60.60 ± 0.71" in said  # lambda 0.1, by held-out accuracy


def test_table_prints_one_selection(finished: Study, config: str) -> None:
    said = gta("table", "table2", "--config", config, "--selection", "heldout")
    assert "60.60 ± 0.71" in said
    assert "61.50 ± 0.71" not in said


def test_table_prints_other_formats(finished: Study, config: str) -> None:
    rows = list(csv.DictReader(gta("table", "--config", config, "--format", "csv").splitlines()))
    assert {row["selection"] for row in rows} == {"test", "heldout"}
    assert len(rows) == 2 * 2 * 2 * 6  # selections, datasets, rates, methods
    assert "tabular" in gta("table", "--config", config, "--format", "tex")
    assert "<table" in gta("table", "--config", config, "--format", "html")


def test_table_writes_all_formats(finished: Study, config: str) -> None:
    written = gta("table", "--write", "--config", config).split()
    assert written == [f"results/tiny/tables/table2.{end}" for end in ("csv", "md", "tex", "html")]
    assert all(Path(path).stat().st_size for path in written)


# Figures, attention, sources


def test_attention_is_drawn_over_an_image(config: str, workdir: Path) -> None:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    said = gta(
        *("attention", "photo.png", "--source", "tiny_dino", "--out", "maps", "--config", config)
    )
    assert said.strip() == "maps/photo.png"
    drawn = np.asarray(Image.open("maps/photo.png"))
    assert drawn.shape == pixels.shape
    assert (drawn.astype(int)[..., 0] >= pixels[..., 0]).all()  # red is laid over, never taken
    assert (drawn != pixels).any()


def test_attention_wants_one_model(config: str) -> None:
    said = error_of("attention", "photo.png", "--out", "maps", "--config", config)
    assert said == "say whose attention to draw: --source NAME, or --weights FILE"


def test_attention_names_an_image_it_cannot_read(config: str) -> None:
    Path("photo.png").write_text("no image")
    said = error_of(
        *("attention", "photo.png", "--source", "tiny_dino", "--out", "maps", "--config", config),
    )
    assert said.startswith("photo.png: ")
    assert not Path("maps").exists()


def test_a_figure_that_the_study_has_not(config: str) -> None:
    assert error_of("figure", "--config", config).startswith("study tiny has no figures")


def test_a_source_that_is_not_trained_here(workdir: Path) -> None:
    said = error_of("source", "train", "ibot", "--out", "ibot.safetensors")
    assert said.startswith("no source 'ibot' to train; there are: tiny_ibot")
