"""``gta rerun``: train the runs of some cells of a table again, and see what that changes."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gta import outputs as partial
from gta import results
from gta.cli.options import DEFAULT_CONFIG, chosen
from gta.cli.snakemake import Snakemake, handled
from gta.cli.status import hours
from gta.errors import GtaError
from gta.files import is_there
from gta.results.origins import origins_of
from gta.results.retire import restore, retire
from gta.study import RUN_FIELDS, Run, Study
from gta.study.discover import discover


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("rerun")(rerun)


def rerun(
    table: Annotated[str, typer.Argument(help="A table or figure, e.g. `table2`.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENT...]", help="More arguments for Snakemake."),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The study's config; given again, an overlay.  [default: config/mini.yaml, or "
            "else the first of `config/` that has such runs]",
        ),
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    rate: Annotated[list[float] | None, typer.Option(metavar="PERCENT")] = None,
    source: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    method: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    mix: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    lam: Annotated[list[float] | None, typer.Option("--lambda", metavar="NUMBER")] = None,
    seed: Annotated[list[int] | None, typer.Option(metavar="NUMBER")] = None,
    profile: Annotated[
        str | None, typer.Option(help="A profile of Snakemake's, e.g. `slurm` or `local`.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Train the runs behind some cells of a table again, and print the cells before and after.

    Each of `--dataset` to `--seed` narrows the runs; given again, it admits another value. Their
    old results are moved to `results/<study>/retired/<time>`, never deleted; those of runs that
    fail are moved back. Then Snakemake trains them, and all that depends on them is made again.

        gta rerun table2 --dataset mini_near --rate 15 --method gta

        gta rerun table2 --dataset cub --rate 15 --method gta --lambda 10 --seed 0 --profile slurm

        gta rerun table2 --method finetune --yes -- --cores 2
    """
    from gta.tables.change import accuracies_line, cells_of, change_of

    given: dict[str, list[Any] | None] = {
        "dataset": dataset,
        "rate": rate,
        "source": source,
        "method": method,
        "mix": mix,
        "lam": lam,
        "seed": seed,
    }
    wanted = {field: values for field, values in given.items() if values}
    study, runs = _find(config, table, wanted)
    snakemake = Snakemake(study, profile, arguments or [])
    before = _look(study, runs)
    _say_plan(study, table, before, snakemake)
    targets = [str(study.run_files(run).metrics) for run in runs]
    snakemake.check(targets)
    if not yes:
        typer.confirm("Run them again?", abort=True)

    cells = cells_of(study, table, runs)
    # From here until results are in place again, a signal must not end this process.
    stopped: list[int] = []
    with handled(lambda number, frame: stopped.append(number)):
        retired = retire(study, runs)
        if retired.exists():
            print(f"old results: {retired}", flush=True)
        if not stopped:
            snakemake.call(targets)
        after = _look(study, runs)
        if after.undone:
            raise GtaError(_put_back(study, after.undone, retired))
    _rebuild(study, table, snakemake)
    new_cells = cells_of(study, table, runs)
    if new_cells is not None:
        print(*change_of(study, table, cells, new_cells), sep="\n")
    print(accuracies_line(study, before.accuracies, after.accuracies))
    if retired.exists():
        copy = shlex.join(["cp", "-R", f"{retired}/.", f"{study.folder}/"])
        print(f"back to the old results: {copy} && {shlex.join(snakemake.command())}")


# Which runs


def _find(
    config: list[Path] | None, table: str, wanted: Mapping[str, list[Any]]
) -> tuple[Study, list[Run]]:
    """The study, and those runs of a table that have one of the wanted values of every field.

    Raises:
        GtaError: if there are none; where no config is given, as the default study says it.
    """
    first = Study.load(config or DEFAULT_CONFIG)
    try:
        return first, _narrow(first, table, wanted)
    except GtaError:
        if config is not None:
            raise
        for files in discover():
            study = Study.load(files)
            if len(files) == 1 and study.name != first.name:
                try:
                    return study, _narrow(study, table, wanted)
                except GtaError:
                    continue
        raise


def _narrow(study: Study, table: str, wanted: Mapping[str, list[Any]]) -> list[Run]:
    chosen(study, [table], study.specs)
    runs = sorted(study.runs_of(table))
    if not runs:
        raise GtaError(f"{table} has no runs of its own: it is made of other tables' or of data")
    for field, values in wanted.items():
        there = sorted({getattr(run, field) for run in runs})
        for value in values:
            if value not in there:
                has = ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in there)
                name = "lambda" if field == "lam" else field
                raise GtaError(f"study {study.name}: {table} has no {name} {value}; it has: {has}")
    narrowed = [
        run for run in runs if all(getattr(run, field) in wanted[field] for field in wanted)
    ]
    if not narrowed:
        raise GtaError(f"study {study.name}: no run of {table} has all of these at once")
    return narrowed


# What they are and were


@dataclass(frozen=True)
class _Look:
    """Reads the states of runs.

    Attributes:
        states: of the runs that were asked for.
        others: those of the same jobs that are not done either, and so trained too.
        accuracies: test accuracies of those that are done.
        seconds: that their training took.
    """

    states: dict[Run, str]
    others: list[Run]
    accuracies: dict[Run, float]
    seconds: float

    @property
    def undone(self) -> list[Run]:
        return [run for run, state in self.states.items() if state != "done"]


def _look(study: Study, runs: list[Run]) -> _Look:
    origin = origins_of(study)

    def state_of(run: Run) -> str:
        return results.state_of(study.run_files(run), origin(run)).state

    states = {run: state_of(run) for run in runs}
    packs = dict.fromkeys(
        study.pack({field: run.text(field) for field in RUN_FIELDS}) for run in runs
    )
    beside = [run for pack in packs for run in pack.runs if run not in states]
    done = [run for run in runs if states[run] == "done"]
    rows = results.read(study, "metrics", done).to_pylist()
    return _Look(
        states,
        [run for run in beside if state_of(run) != "done"],
        {run: row["acc1"] for run, row in zip(done, rows, strict=True)},
        sum(row["seconds"] for row in rows),
    )


def _say_plan(study: Study, table: str, look: _Look, snakemake: Snakemake) -> None:
    from gta.tables.missing import patterns  # with pandas

    runs = list(look.states)
    states = Counter(look.states.values())
    said = ", ".join(f"{number:,} {state}" for state, number in states.items())
    print(f"study {study.name}, {table}: {len(runs):,} runs ({said})")
    cells: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.dataset, run.text("rate"), run.source, run.method, run.mix].append(run)
    for members in cells.values():
        for pattern in patterns(members):
            print(f"  {pattern}")
    if look.seconds:
        print(f"their training took {hours(look.seconds)} the last time")
    sharing = [name for name in study.specs if name != table and study.runs_of(name) & {*runs}]
    if sharing:
        print(f"in {', '.join(sharing)} too")
    if look.others:
        print(f"{len(look.others):,} more runs of the same jobs are not done, so trained too")
    print(shlex.join(snakemake.command("RUNS")), flush=True)


# When they are trained, or not


def _put_back(study: Study, undone: list[Run], retired: Path) -> str:
    """Move back the old results of runs without new ones; one line that says so and why."""
    reasons = {run: results.failure_of(study.run_files(run)) for run in undone}
    back = restore(study, retired, undone)
    said = (
        f"of {len(undone):,} runs without a new result, the old results of {len(back):,} are back"
    )
    if retired.exists():
        said += f"; those of the others lie in {retired}"
    failed = next(((run, reason) for run, reason in reasons.items() if reason), None)
    if failed is None:
        logs = study.folder / "logs" / "train"
        where = f"; the jobs' logs: {logs}" if logs.is_dir() else ""
        return f"snakemake was stopped or failed; {said}{where}"
    run, reason = failed
    log = study.run_files(run).log
    where = f"; log: {log}" if is_there(log) else ""
    return f"{study.title(run)}: {reason}; {said}{where}"


def _rebuild(study: Study, table: str, snakemake: Snakemake) -> None:
    """Make what depends on the runs again.

    Raises:
        GtaError: if Snakemake fails.
    """
    missing = len(partial.collect(study))
    if not missing:
        if snakemake.call() != 0:
            raise GtaError(
                "the runs are trained, but not all that depends on them could be made again; "
                f"mend what is said above, then call `{shlex.join(snakemake.command())}`"
            )
        return
    # Snakemake makes tables of whole studies alone, and would train all that this one lacks.
    partial.write_tables(study.files)
    print(
        f"{missing:,} runs of the study are not done: figures and masks are made again when "
        f"they are, by `{shlex.join(snakemake.command())}`"
    )
