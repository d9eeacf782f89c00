"""``gta init``: lay out a project that uses the package's workflow."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gta.project import create_project


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("init")(init)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where; made if it is missing.")
    ] = Path(),
) -> None:
    """Lay out a project: a Snakefile, configs to copy from, and profiles to edit.

    The Snakefile includes the package's workflow, so that an upgrade of the package is one of the
    workflow too. Files that are there already are kept.

        gta init my-study && cd my-study && snakemake -n
    """
    written, kept = create_project(folder)
    for path in kept:
        print(f"kept: {path}")
    print(f"{folder}: {len(written)} files written, {len(kept)} kept")
    print(f"next: cd {shlex.quote(str(folder))} && gta runs && snakemake -n")
