"""``gta status``: how far a study is, as it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gta.cli.options import DEFAULT_CONFIG, AsJson, Configs, console, table_of
from gta.cli.runs import undecided, undecided_line
from gta.files import is_there
from gta.results.origins import origins_of
from gta.results.status import WHERE, Monitor, Snapshot, Where
from gta.study import Run, Study

LEGEND = "done/all (tables share runs), ▸ running, ✗ failed, the others queued"
LIVE_LINES = 5  # of running and of failed runs, while it is renewed in place


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("status")(status)


def status(
    config: Configs = DEFAULT_CONFIG,
    as_json: AsJson = False,
    once: Annotated[bool, typer.Option("--once", help="Print all of it once.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look again.")
    ] = 5.0,
) -> None:
    """Show how far a study is, renewed until it is done or Ctrl-C.

    It reads only files: call it in another terminal, or on the login node of a cluster. A run is
    **running** while a process holds its lock, **failed** when its last attempt ended with an
    error, and **queued** otherwise, until it is done. Hours left are those of training alone,
    with as many jobs at a time as there are now.

        gta status --config config/paper.yaml

        gta status --once
    """
    study = Study.load(config)
    monitor = Monitor(study, origins_of(study))
    if as_json:
        snapshot = monitor.look()
        counts = {where: len(snapshot.runs(where)) for where in WHERE}
        left = {"jobs": snapshot.jobs, "seconds_left": snapshot.seconds_left}
        failed = {run.name: snapshot.reasons.get(run, "") for run in snapshot.runs("failed")}
        rest = {"undecided": undecided(study), "failures": failed}
        print(json.dumps({"study": study.name, **counts, **left, **rest}, indent=1))
        return
    if once or not console.is_terminal:
        console.print(view(monitor.look()))
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                snapshot = monitor.look()
                done = len(snapshot.runs("done")) == len(snapshot.where)
                if done and undecided(study):  # what follows from a choice made meanwhile
                    study = Study.load(config)
                    monitor, done = Monitor(study, origins_of(study)), False
                live.update(view(snapshot, None if done else LIVE_LINES), refresh=True)
                if done:
                    return
                time.sleep(every)
    except KeyboardInterrupt:
        return


def view(snapshot: Snapshot, most: int | None = None) -> RenderableType:
    """A snapshot for the terminal.

    Args:
        snapshot: the study as it stands.
        most: how many running and how many failed runs are named; default all.
    """
    total = len(snapshot.where)
    counts = {where: len(snapshot.runs(where)) for where in WHERE}
    said = ", ".join(f"{counts[where]:,} {where}" for where in WHERE if counts[where])
    clock = snapshot.at.astimezone().strftime("%H:%M:%S")
    parts: list[RenderableType] = [
        Text(f"study {snapshot.study.name}: {total:,} runs ({said}) at {clock}", style="bold"),
        _bar(counts["done"], total),
        Text(_pace(snapshot)),
        *(Text(line) for line in [undecided_line(snapshot.study)] if line is not None),
        _by_table(snapshot),
        Text(LEGEND, style="dim"),
    ]
    parts += _named("running", snapshot, most, _progress)
    parts += _named("failed", snapshot, most, _failure)
    return Group(*parts)


def _bar(done: int, total: int) -> Table:
    grid = Table.grid()  # which ends the line that a bar leaves open
    grid.add_row(ProgressBar(total=total, completed=done, width=min(60, console.width)))
    return grid


def _pace(snapshot: Snapshot) -> str:
    jobs, speed, left = snapshot.jobs, snapshot.speed, snapshot.seconds_left
    if speed is None:
        return "nothing tells yet how long the runs take"
    said = [f"{snapshot.recent:,} done in the last hour", f"{speed:,.3g} images a second a job"]
    if left and jobs:
        said.append(f"{hours(left / jobs)} left with {jobs} job{'s'[: jobs > 1]} at a time")
    elif left:
        said.append(f"{hours(left)} of training left; nothing is running")
    return "; ".join(said)


def hours(seconds: float) -> str:
    """A time that is left, in words."""
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    return f"{seconds / 3600:,.1f} hours"


def _by_table(snapshot: Snapshot) -> Table:
    study = snapshot.study
    table = table_of("", ["", *study.config.datasets], WHERE)
    needs = {name: study.runs_of(name) for name in study.specs}
    for name, runs in {**{n: r for n, r in needs.items() if r}, "all": study.runs}.items():
        if name == "all":
            table.add_section()
        cells = []
        for dataset in study.config.datasets:
            own = [run for run in runs if run.dataset == dataset]
            cells.append(_cell(snapshot, own))
        totals = [sum(snapshot.where[run] == where for run in runs) for where in WHERE]
        table.add_row(name, *cells, *(f"{number:,}" if number else "" for number in totals))
    return table


def _cell(snapshot: Snapshot, runs: list[Run]) -> Text:
    if not runs:
        return Text()
    counts = {where: sum(snapshot.where[run] == where for run in runs) for where in WHERE}
    text = Text(f"{counts['done']}/{len(runs)}", "green" if counts["done"] == len(runs) else "")
    if counts["running"]:
        text.append(f" ▸{counts['running']}", "cyan")
    if counts["failed"]:
        text.append(f" ✗{counts['failed']}", "red")
    return text


def _named(
    where: Where, snapshot: Snapshot, most: int | None, line: Callable[[Snapshot, Run], str]
) -> Iterator[Text]:
    runs = snapshot.runs(where)
    for run in runs[:most]:
        yield Text(line(snapshot, run))
    if most is not None and len(runs) > most:
        yield Text(f"… and {len(runs) - most:,} more {where}", style="dim")


def _progress(snapshot: Snapshot, run: Run) -> str:
    study, iteration = snapshot.study, snapshot.saved[run].iteration
    iterations = study.recipe(run).iterations
    saved = f"{iteration:,} of {iterations:,} iterations" if iteration else "nothing"
    return f"running: {study.title(run)}: {saved} saved"


def _failure(snapshot: Snapshot, run: Run) -> str:
    study = snapshot.study
    log = study.run_files(run).log
    said = f"failed: {study.title(run)}: {snapshot.reasons[run]}"
    return f"{said}\n  {log}" if is_there(log) else said
