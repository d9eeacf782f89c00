"""``gta runs``, ``gta train`` and ``gta config``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gta import files, results
from gta.catalog import MIXES
from gta.cli.options import (
    DEFAULT_CONFIG,
    Configs,
    Device,
    bars,
    chosen,
    claimed,
    console,
    table_of,
)
from gta.errors import GtaError
from gta.results.imports import imported
from gta.results.origins import origins_of
from gta.study import Run, Study
from gta.study.credentials import as_yaml
from gta.study.credentials import write_config as write


class State(StrEnum):
    """States of a run, for ``--state``."""

    done = "done"
    missing = "missing"
    stale = "stale"
    damaged = "damaged"
    forbidden = "forbidden"
    failed = "failed"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("runs")(show_runs)
    app.command("train")(train)
    app.command("config")(write_config)


def show_runs(
    config: Configs = DEFAULT_CONFIG,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only the runs that this table or figure needs."),
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only the runs in this state.")] = None,
    names: Annotated[bool, typer.Option("--list", help="Print the names, one a line.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of objects: identity, name, state, reason.")
    ] = False,
) -> None:
    """Show what a study expands to and how far it is.

    A run is **done** if its results were made with the config's settings, data and source;
    **stale** if one of these has changed since; **missing** if it was not trained yet, or lacks
    the weights that the config keeps; **failed** if its last attempt stopped with an error;
    **damaged** if its files cannot be read or belong to another run; **forbidden** if this user
    may not read them.

        gta runs --config config/paper.yaml

        gta runs --config config/mini.yaml --config config/mini-full.yaml

        gta runs --state failed --list
    """
    study = Study.load(config)
    if table is not None:
        chosen(study, [table], study.specs)
    origin = origins_of(study)
    found = {
        run: results.state_of(study.run_files(run), origin(run))
        for run in study.runs
        if table is None or run in study.runs_of(table)
    }
    if state is not None:
        found = {run: where for run, where in found.items() if where.state == state}
    if as_json:
        print(json.dumps([_as_object(run, where) for run, where in found.items()], indent=1))
    elif names:
        for run in found:
            print(run.name)
    else:
        _summarise(study, found)


def _as_object(run: Run, where: results.State) -> dict[str, Any]:
    return {
        **dataclasses.asdict(run),
        "name": run.name,
        "state": where.state,
        "reason": where.reason,
    }


def _summarise(study: Study, found: dict[Run, results.State]) -> None:
    by_state = Counter(str(where.state) for where in found.values())
    said = ", ".join(f"{by_state[state]:,} {state}" for state in State if by_state[state])
    print(f"study {study.name}: {len(found):,} runs" + (f" ({said})" if said else ""))
    if (line := undecided_line(study)) is not None:
        print(line)
    for manifest in imported(study.folder):
        count, machine = len(manifest["runs"]), manifest["machine"]
        print(
            f"{count:,} runs were imported from {machine}, archived {manifest['written_at'][:10]}"
        )
    if not found:
        return
    # one state for all: the line above has said it
    states = [state for state in State if 0 < by_state[state] < len(found)]
    console.print(_by_method(study, found, states))
    console.print(_by_table(study, found, states))
    for run, where in found.items():
        if where.state in ("failed", "damaged", "forbidden"):
            print(f"{where.state}: {run.name}\n  {where.reason}")


def undecided(study: Study) -> dict[str, int] | None:
    """Cells without a choice of lambda on the seeds of ``tune``, and the runs that will follow.

    Returns:
        ``cells``, ``fewest`` and ``most`` (the two rules may choose two lambdas); None where
        every choice is made.
    """
    if study.tuning is None:
        return None
    cells = len(study.tuning.cells.keys() - study.choice.keys())
    fewest, most = study.tuning.open_runs(study.choice)
    return {"cells": cells, "fewest": fewest, "most": most} if cells else None


def undecided_line(study: Study) -> str | None:
    """Describe the result of ``undecided``."""
    if (found := undecided(study)) is None or study.config.tune is None:
        return None
    seeds = ", ".join(map(str, study.config.tune.seeds))
    return (
        f"λ is chosen on seeds {seeds}: of {found['cells']:,} cells not yet; "
        f"{found['fewest']:,} to {found['most']:,} more runs follow"
    )


def _by_method(study: Study, found: dict[Run, results.State], states: list[State]) -> Table:
    def row(*words: str, runs: list[Run]) -> None:
        datasets = Counter(run.dataset for run in runs)
        counts = [datasets[dataset] for dataset in study.config.datasets]
        table.add_row(*words, *_numbers([*counts, *_counts(runs, found, states)]))

    table = table_of(
        "By source, method and dataset",
        ["source", "method"],
        [*study.config.datasets, "runs", *states],
    )
    members: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in found:
        members[run.source, run.mix, run.method].append(run)
    methods = [*study.methods]
    for source, mix, method in sorted(members, key=lambda k: (k[0], k[1], methods.index(k[2]))):
        title = study.methods[method].title + (f" + {MIXES[mix]}" if MIXES[mix] else "")
        row(study.source_info(source).title, title, runs=members[source, mix, method])
    table.add_section()
    row("all", "", runs=list(found))
    return table


def _by_table(study: Study, found: dict[Run, results.State], states: list[State]) -> Table:
    table = table_of("By table and figure (they share runs)", ["name", "title"], ["runs", *states])
    for name, spec in study.specs.items():
        runs = [run for run in study.runs_of(name) if run in found]
        table.add_row(name, spec.title, *_numbers(_counts(runs, found, states)))
    return table


def _counts(runs: list[Run], found: dict[Run, results.State], states: list[State]) -> list[int]:
    by_state = Counter(str(found[run].state) for run in runs)
    return [len(runs), *(by_state[state] for state in states)]


def _numbers(counts: list[int]) -> list[str]:
    return [f"{count:,}" if count else "" for count in counts]


def train(
    run: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Names of runs, as `gta runs --list` prints them."),
    ] = None,
    config: Configs = DEFAULT_CONFIG,
    pack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="All runs of a job, by the fields that the config does not pack, "
            "e.g. `dataset=mini_near/rate=15/seed=0`.",
        ),
    ] = None,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.  [default: the config's]")
    ] = None,
) -> None:
    """Train runs and write their metrics, history and predictions.

    Runs whose results are valid are left as they are; `gta rerun` trains them again. Damaged
    results are renamed `*.damaged.*` first. A run that fails does not stop the others.

        gta train dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0

        gta train --pack dataset=mini_near/rate=15/seed=0 --threads 2
    """
    study = Study.load(config)
    if bool(run) == bool(pack):
        raise GtaError("name the runs to train, or one --pack")
    runs = [study.find(name) for name in run or ()]
    if pack:
        runs = list(study.pack(_fields(pack)).runs)

    import torch

    from gta.train import train_runs

    torch.set_num_threads(threads or study.config.threads)
    trained: set[Run] = set()
    with claimed(device) as where, bars() as progress:
        whole = progress.add_task("runs", total=len(runs))
        one = progress.add_task("", total=None)

        def show(run: Run, done: int, iterations: int) -> None:
            if done == iterations:
                trained.add(run)
            progress.update(whole, completed=len(trained))
            progress.update(one, description=study.title(run), completed=done, total=iterations)

        train_runs(study, runs, where, show)
    print(f"{study.name}: {len(runs)} run(s) done")


def _fields(pack: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    if pack == "all":  # where every field is packed
        return fields
    for part in pack.strip("/").split("/"):
        field, equals, value = part.partition("=")
        if not equals:
            raise GtaError(f"--pack {pack}: {part!r} is not of the form field=value")
        fields[field] = value
    return fields


def write_config(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it; default: printed.")
    ] = None,
    config: Configs = DEFAULT_CONFIG,
    content: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="The config itself in place of files, as Snakemake has it."
        ),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", help="The JSON schema of all configs instead, for editors: all keys."
        ),
    ] = False,
) -> None:
    """Write or print a study's config, overlays merged and all of it checked, as one YAML file.

    gta config --config config/paper.yaml --config my.yaml --out merged.yaml

    gta config --schema
    """
    if schema:
        from gta.study.schema import as_text, study_schema

        _write(out, as_text(study_schema()))
        return
    if content is not None:
        try:
            study = Study.of_workflow(json.loads(content), ())
        except json.JSONDecodeError as error:
            raise GtaError(f"--content is not JSON: {error}") from None
    else:
        study = Study.load(config)
    if out is None:
        print(as_yaml(study.content), end="")
    else:
        write(study, out)


def _write(out: Path | None, text: str) -> None:
    if out is None:
        print(text, end="")
    else:
        files.write_text(out, text)
