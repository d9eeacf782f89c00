"""The tables of a study that is not done: runs that are missing are named in their holes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gta import results
from gta.errors import GtaError
from gta.results import State
from gta.results.origins import origins_of
from gta.study import Run, Study
from gta.study.commands import command

LIST_DAMAGED = ("--state", "damaged", "--list")


def after_failure(config: Path, targets: Sequence[str]) -> None:
    """Write the tables of what is done when Snakemake has ended with a failed job.

    Does nothing where no run of the study is done, where none is missing, or where runs alone
    were asked for. Prints a ``GtaError`` in place of raising it.

    Args:
        config: the study's file.
        targets: what was asked for; the whole study where that is empty.
    """
    if targets and all(Path(target).name == "part.parquet" for target in targets):
        return
    try:
        study = Study.load([config])
        missing = len(collect(study))
        if 0 < missing < len(study.runs):
            print(f"{missing:,} of {len(study.runs):,} runs are missing; tables without them:")
            write_tables([config])
    except GtaError as error:
        print(f"error: {error}", file=sys.stderr)


def collect(study: Study) -> dict[Run, State]:
    """Gather the metrics of the runs that are done, if any; return the others with their state.

    Results that are damaged are named on stderr.
    """
    table, missing = results.collect_metrics(study, origins_of(study))
    if table.num_rows:
        results.write_collected(study, table)
    if (line := damage(study, missing)) is not None:
        print(f"warning: {line}", file=sys.stderr)
    return missing


def damage(study: Study, missing: Mapping[Run, State]) -> str | None:
    """One line that names damaged results and how to train their runs again; None if none is."""
    damaged = [run for run, state in missing.items() if state.state == "damaged"]
    if not damaged:
        return None
    first = damaged[0]
    count = f"{len(damaged):,} damaged results, the first: " if len(damaged) > 1 else ""
    names = first.name if len(damaged) == 1 else f"$({command(study, 'runs', *LIST_DAMAGED)})"
    return (
        f"{count}{missing[first].reason}; train again: `{command(study, 'train', names)}`, "
        f"or delete {study.run_files(first).metrics} and run `snakemake`"
    )


def write_intervals(study: Study) -> None:
    """Compute the gains over fine-tuning with their intervals and write them."""
    from gta import tables

    found = tables.compute_intervals(
        study, results.read_collected(study), tables.read_intervals(study)
    )
    tables.write_intervals(study, found)
    print(f"{study.folder / 'intervals.parquet'}: {found.num_rows:,} gains")


def write_tables(files: Sequence[Path]) -> None:
    """Write intervals, tables, the figures of metrics alone and the page from what is collected.

    Snakemake makes them of whole studies alone. What cannot be made yet is left as it is, and
    said in one line on stderr.
    """
    from gta import figures, page, tables

    study = Study.load(files)

    def write_intervals_of(_: str) -> None:
        write_intervals(study)

    def write_table(name: str) -> None:
        for path in tables.write(study, *tables.make(study, name, found)):
            print(path)

    def draw_figure(name: str) -> None:
        for path in figures.write(study, name, figures.draw(study, name, found)):
            print(path)

    _attempt(write_intervals_of, "intervals")
    found = tables.read_all(study)
    for name in study.tables:
        _attempt(write_table, name)
    for name in study.figures:
        if study.kind(name).inputs == ("metrics",):
            _attempt(draw_figure, name)
    _attempt(lambda _: print(page.write(study)), "page")


def _attempt(make: Callable[[str], None], name: str) -> None:
    try:
        make(name)
    except GtaError as error:
        print(f"{name}: not made: {error}", file=sys.stderr)
