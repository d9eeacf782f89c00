"""``gta rerun``: which runs it takes, and that old results return where no new ones come."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gta import files, results
from gta.cli import app, main
from gta.cli.snakemake import Snakemake
from gta.study import Run, Study
from gta.tables.change import accuracies_line
from tests.support.left import contents, fail, finish

Train = Callable[[Study, Run], None]
CELL = ["--dataset", "mini_near", "--rate", "15", "--method", "gta"]


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """A study of table 2 and figure 4 whose runs are all done but one of fine-tuning."""
    tiny_config |= {"figures": ["figure4"], "pack": ["method", "lam"]}
    files.write_text(Path("config/mini.yaml"), yaml.safe_dump(tiny_config))
    study = Study.load(["config/mini.yaml"])
    for run in study.runs:
        if run != missing(study):
            finish(study, run, acc1=60.0 + round(run.lam))
    table, _ = results.collect_metrics(study, lambda run: None)
    results.write_collected(study, table)
    return study


def missing(study: Study) -> Run:
    return next(run for run in study.runs if run.method == "finetune")


class Calls:
    """Stands for Snakemake: keeps what is asked of it, and trains as it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.train: Train = finish

    def __call__(self, snakemake: Snakemake, targets: Sequence[str]) -> int:
        self.asked.append(snakemake.command(*targets))
        for target in targets:
            run = snakemake.study.find("/".join(Path(target).parts[3:-1]))
            self.train(snakemake.study, run)
        return 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(Snakemake, "check", lambda snakemake, targets: None)
    monkeypatch.setattr(Snakemake, "call", lambda snakemake, targets=(): calls(snakemake, targets))
    return calls


def rerun(*arguments: str, answer: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["rerun", *arguments], input=answer, catch_exceptions=False)
    return done.exit_code, done.output


def error_of(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["rerun", *arguments])
    return str(stop.value.code)


def names_of(command: list[str]) -> list[str]:
    return [word for word in command if word.endswith("part.parquet")]


def test_it_says_what_it_will_do_and_asks(study: Study, calls: Calls) -> None:
    before = contents(study.folder)
    status, said = rerun("table2", *CELL, "--profile", "slurm", answer="n\n")
    assert status == 1
    assert "study tiny, table2: 6 runs (6 done)" in said
    assert (
        "mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam={0.01,0.1,1}/seed={0,1}" in said
    )
    assert "in figure4 too" in said
    assert "snakemake RUNS --profile slurm --configfile config/mini.yaml" in said
    assert calls.asked == []
    assert contents(study.folder) == before


def test_exactly_the_runs_of_a_cell(study: Study, calls: Calls) -> None:
    old = contents(study.folder / "metrics")
    calls.train = lambda study, run: finish(study, run, acc1=70.0 + round(run.lam))
    status, said = rerun("table2", *CELL, "--yes", "--", "--cores", "1")
    assert status == 0, said
    wanted = [
        run
        for run in study.runs
        if (run.dataset, run.rate, run.method) == ("mini_near", 15.0, "gta")
    ]
    (asked,) = calls.asked
    assert names_of(asked) == [str(study.run_files(run).metrics) for run in wanted]
    assert asked[-4:] == ["--cores", "1", "--configfile", "config/mini.yaml"]
    new = contents(study.folder / "metrics")
    assert {name for name in old if old[name] != new[name]} == {
        f"{run.name}/part.parquet" for run in wanted
    }
    (retired,) = (study.folder / "retired").iterdir()
    assert contents(retired / "metrics") == {
        name: old[name] for name in old if old[name] != new[name]
    }
    # the cell before and after; the study lacks a run, so its tables are made here
    assert "61.00 ± 0.00 (λ 1 sum) -> 71.00 ± 0.00 (λ 1 sum)  +10.00" in said
    assert "6 runs trained; test accuracy as before in 0 of 6" in said
    assert "1 runs of the study are not done" in said
    assert "71.00" in (study.folder / "tables" / "table2.md").read_text()
    assert f"cp -R {retired}/. results/tiny/" in said


def test_lambda_and_seed_narrow_it(study: Study, calls: Calls) -> None:
    status, _ = rerun("figure4", *CELL, "--lambda", "0.1", "--lambda", "1", "--seed", "1", "--yes")
    assert status == 0
    assert [name.split("lam=")[1] for name in names_of(calls.asked[0])] == [
        "0.1/seed=1/part.parquet",
        "1/seed=1/part.parquet",
    ]


def test_runs_of_the_same_jobs_that_are_not_done_are_told(study: Study, calls: Calls) -> None:
    gone = missing(study)
    place = ["--dataset", gone.dataset, "--rate", str(gone.rate), "--seed", str(gone.seed)]
    _, said = rerun("table2", "--method", "gta", *place, answer="n\n")
    assert "1 more runs of the same jobs are not done" in said


def test_a_whole_study_is_made_again_by_snakemake(study: Study, calls: Calls) -> None:
    finish(study, missing(study))
    status, _ = rerun("table2", *CELL, "--yes", "--profile", "local")
    assert status == 0
    assert calls.asked[1] == [
        "snakemake", "--profile", "local", "--configfile", "config/mini.yaml"
    ]  # fmt: skip


def test_old_results_return_where_training_fails(study: Study, calls: Calls) -> None:
    before = contents(study.folder)

    def fails_at_seed_1(study: Study, run: Run) -> None:
        if run.seed != 1:
            finish(study, run, acc1=70.0)

    calls.train = fails_at_seed_1
    said = error_of("table2", *CELL, "--yes")
    assert "of 3 runs without a new result, the old results of 3 are back" in said
    after = contents(study.folder)
    seed_1 = {name for name in before if "method=gta" in name and "/seed=1/" in name}
    assert {name: after[name] for name in seed_1} == {name: before[name] for name in seed_1}
    assert all(
        results.state_of(study.run_files(run)).state == "done" for run in study.runs_of("figure4")
    )
    # nothing is lost: what is no longer in its place is retired
    lost = {name for name in before if after.get(name) != before[name]}
    kept = {text for name, text in after.items() if name.startswith("retired/")}
    assert lost
    assert {before[name] for name in lost} <= kept


def test_the_reason_of_a_failure_comes_first(study: Study, calls: Calls) -> None:
    calls.train = lambda study, run: fail(study, run, "the loss is not finite")
    said = error_of("table2", *CELL, "--lambda", "1", "--seed", "0", "--yes")
    assert "lambda 1, seed 0: the loss is not finite; of 1 runs without a new result" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_moves_old_results_back(
    study: Study, calls: Calls, number: signal.Signals
) -> None:
    before = contents(study.folder / "metrics")
    calls.train = lambda study, run: os.kill(os.getpid(), number)
    said = error_of("table2", *CELL, "--yes")
    assert "snakemake was stopped or failed; of 6 runs without a new result" in said
    assert contents(study.folder / "metrics") == before
    assert not (study.folder / "retired").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table9"], "has no 'table9'"),
        (["table2", "--rate", "16"], "table2 has no rate 16.0; it has: 15, 100"),
        (["table2", "--lambda", "5"], "table2 has no lambda 5.0"),
        (["table2", "--method", "finetune", "--lambda", "1"], "no run of table2 has all of these"),
    ],
)
def test_runs_that_are_not_there(
    study: Study, calls: Calls, arguments: list[str], said: str
) -> None:
    assert said in error_of(*arguments, "--yes")


def test_without_a_config_the_study_that_has_such_runs_is_taken(
    study: Study, calls: Calls, tiny_config: dict[str, Any]
) -> None:
    other = {**tiny_config, "study": "pets", "datasets": ["pet"]}
    files.write_text(Path("config/pets.yaml"), yaml.safe_dump(other))
    _, said = rerun("table2", "--dataset", "pet", "--rate", "15", answer="n\n")
    assert said.startswith("study pets, table2: 16 runs")
    assert "has no dataset pet" in error_of(
        "table2", "--dataset", "pet", "--config", "config/mini.yaml"
    )


def test_accuracies_that_moved(tiny_study: Study) -> None:
    one, two, new = tiny_study.runs[:3]
    said = accuracies_line(tiny_study, {one: 50.0, two: 60.0}, {one: 50.0, two: 58.5, new: 1.0})
    assert said.startswith("3 runs trained; test accuracy as before in 1 of 2; furthest: 60.00 -> ")
    assert tiny_study.title(two) in said
