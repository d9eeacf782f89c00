"""The ``gta`` command: thin; what it does lies on the floors below.

Modules that import torch are imported inside the commands that need them, so that
``gta --help`` and ``gta runs`` answer at once.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import gta
from gta.cli import (
    clean,
    compare,
    data,
    doctor,
    export,
    init,
    outputs,
    pilot,
    plan,
    predict,
    rerun,
    runs,
    sources,
    status,
    trial,
)
from gta.errors import GtaError

app = typer.Typer(
    name="gta",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs.add_to(app)
plan.add_to(app)
pilot.add_to(app)
data.add_to(app)
sources.add_to(app)
outputs.add_to(app)
rerun.add_to(app)
status.add_to(app)
clean.add_to(app)
init.add_to(app)
trial.add_to(app)
export.add_to(app)
predict.add_to(app)
compare.add_to(app)
doctor.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(gta.__version__)
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Guided transfer of spatial attention (arXiv 2401.02656): the study's parts, one by one.

    `snakemake` runs a whole study; these commands are what its rules call, and what you type to
    look into a study or to redo a part of it. Most take `--config FILE`, the study (default
    `config/mini.yaml`); given again, further files are laid over the first.

    **What a study will run, and how far it is**

        gta runs --config config/paper.yaml

    **What it costs**

        gta plan --config config/paper.yaml

    **One cell of one table again**

        gta runs --table table2 --state missing --list

        gta train dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0

        gta collect && gta table table2
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can fix is one line on stderr, status 1.

    Characters that the terminal's encoding lacks are escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments)
    except GtaError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except PermissionError as error:  # met where nothing else is wrong with a path
        sys.exit(f"error: {error.filename}: {error.strerror}; check its permissions")
