"""``gta pilot``: a small study that decides the open choices of a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from gta import files
from gta.cli.snakemake import Snakemake
from gta.errors import GtaError
from gta.study import Study

PAPER = Path("config/paper.yaml")
READINGS = Path("config/paper-pilot.yaml")
LAMBDAS = Path("config/paper-pilot-lambda.yaml")


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("pilot")(pilot)


def pilot(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENT...]", help="More arguments for Snakemake."),
    ] = None,
    base: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The large study's config; given again, an overlay.  [default: config/paper.yaml]",
        ),
    ] = None,
    readings: Annotated[
        Path, typer.Option(metavar="FILE", help="Overlay with a table of kind pilot.")
    ] = READINGS,
    then: Annotated[
        Path, typer.Option(metavar="FILE", help="Overlay to run with the nearest reading.")
    ] = LAMBDAS,
    profile: Annotated[
        str | None, typer.Option(help="A profile of Snakemake's, e.g. `slurm` or `local`.")
    ] = None,
) -> None:
    """Rank readings of the recipe by their distance to the paper, then run GTA with the nearest.

    Two small studies, one after the other: the readings on fine-tuning alone, and GTA's lambdas
    with the nearest reading. What is done already is not done again.

        gta pilot --profile slurm
    """
    configs = base or [PAPER]
    study = Study.load([*configs, readings])
    name = _table_of(study)
    _make(study, profile, arguments)
    winner = _say_ranking(study, name)
    chosen = study.folder / "nearest.yaml"
    content = {"study": f"{study.name}-nearest", "recipe": study.methods.recipe(winner)}
    files.write_text(chosen, yaml.safe_dump(content))
    _make(Study.load([*configs, then, chosen]), profile, arguments)


def _table_of(study: Study) -> str:
    """The study's table of readings."""
    found = [name for name, spec in study.tables.items() if spec.kind == "pilot"]
    if len(found) != 1:
        raise GtaError(f"study {study.name}: has {len(found)} tables of kind pilot; it needs one")
    return found[0]


def _make(study: Study, profile: str | None, arguments: list[str] | None) -> None:
    status = Snakemake(study, profile, arguments or []).call()
    if status:
        raise GtaError(f"snakemake of study {study.name} ended with status {status}")


def _say_ranking(study: Study, name: str) -> str:
    """Print the readings by rank; gives the nearest."""
    from gta import tables
    from gta.tables.kinds.pilot import ranking, sentence

    frame, _ = tables.make(study, name)
    ranked = ranking(frame)
    if ranked.empty:
        raise GtaError(f"study {study.name}: no reading has all of its runs; see `gta status`")
    for row in ranked.to_dict("records"):
        print(f"{row['rank']:.0f}. {sentence(study, row)}")
    return str(ranked["method"].iloc[0])
