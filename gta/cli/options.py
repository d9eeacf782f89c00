"""Helpers shared by several commands: the study option, tables and bars for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from gta.errors import GtaError
from gta.study import Study

DEFAULT_CONFIG = [Path("config/mini.yaml")]

Configs = Annotated[
    list[Path],
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The study's config, or its name; given again, an overlay. [default: GTA_STUDY of "
        "the environment, else config/mini.yaml]",
        show_default=False,
        envvar="GTA_STUDY",
        show_envvar=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Watch = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]
Device = Annotated[
    str, typer.Option(help="`cpu`, `cuda`, `cuda:N`, or `auto`: a GPU where there is one.")
]

console = Console(markup=False)  # brackets in titles and paths are text


def table_of(title: str, words: Sequence[str], numbers: Sequence[str] = ()) -> Table:
    """An empty table for the terminal: columns of words, then columns of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for position, heading in enumerate(words):
        table.add_column(heading, overflow="fold", no_wrap=position == 0)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


@contextmanager
def bars(*counts: ProgressColumn) -> Iterator[Progress]:
    """Progress bars on stderr where that is a terminal; nothing elsewhere.

    Args:
        counts: columns that say how far it is; of things done and things in all where none
            is given.
    """
    terminal = Console(stderr=True, markup=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(counts or [MofNCompleteColumn()]),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as progress:
        yield progress


@contextmanager
def transfers() -> Iterator[Watch]:
    """Progress bars in bytes, as ``gta.data.fetch.obtain`` takes them."""
    with bars(DownloadColumn(), TransferSpeedColumn()) as progress:

        @contextmanager
        def watch(what: str) -> Iterator[Callable[[int, int | None], None]]:
            task = progress.add_task(what, total=None, visible=False)
            try:
                yield lambda done, total: progress.update(
                    task, completed=done, total=total, visible=True
                )
            finally:
                progress.remove_task(task)

        yield watch


@contextmanager
def claimed(device: str) -> Iterator[str]:
    """Claim a device while the block runs; print a line on stderr when it has to wait."""
    wait = partial(print, "waiting for a free device", file=sys.stderr, flush=True)
    from gta.train.claim import claim

    with claim(device, wait) as where:
        yield where


def chosen(study: Study, names: Sequence[str] | None, has: Iterable[str]) -> list[str]:
    """The tables or figures that are named, or all that the study has where none is.

    Raises:
        GtaError: if the study has not one of them.
    """
    there = list(has)
    for name in names or ():
        if name not in there and name in study.specs:
            kind = "table" if name in study.tables else "figure"
            raise GtaError(f"{name} is a {kind} of study {study.name}: `gta {kind} {name}`")
        if name not in there:
            raise GtaError(f"study {study.name} has no {name!r}; it has: {', '.join(there)}")
    return list(names or there)
