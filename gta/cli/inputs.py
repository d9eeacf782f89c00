"""``gta data`` and ``gta source``: what training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gta.catalog import DATASETS, SOURCES
from gta.cli.options import DEFAULT_CONFIG, Configs, bars, console, table_of
from gta.study import Study

data = typer.Typer(no_args_is_help=True, help="Data sets: list them, prepare them.")
source = typer.Typer(no_args_is_help=True, help="Pre-trained sources: list, prepare or train them.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(data, name="data")
    app.add_typer(source, name="source")


@data.command("list")
def list_data(config: Configs = DEFAULT_CONFIG) -> None:
    """List all data sets that are known, and where those of the study lie."""
    study = Study.load(config)
    headings = ["name", "title", "kind", "domain", "masks", f"store for study {study.name}"]
    table = table_of("Data sets", headings)
    for name, info in DATASETS.items():
        place = ""
        if name in study.config.datasets:
            there = (study.store(name) / "store.json").exists()
            place = str(study.store(name)) if there else "not prepared"
        masks = "yes" if info.masks else ""
        table.add_row(name, info.title, info.kind, info.domain, masks, place)
    console.print(table)


@data.command("prepare")
def prepare_data(
    name: Annotated[str, typer.Argument(help="A data set of the study.")],
    config: Configs = DEFAULT_CONFIG,
) -> None:
    """Render or read a data set into its store, which all jobs map into memory.

    A store that is there is kept; delete its folder to make it again.

        gta data prepare mini_near
    """
    from gta.data.prepare import prepare

    store = prepare(Study.load(config), name)
    print(f"{store.folder}: {len(store):,} images of {len(store.classes)} classes")


@source.command("list")
def list_sources(config: Configs = DEFAULT_CONFIG) -> None:
    """List all sources that are known, and their roles in the study."""
    study = Study.load(config)
    headings = ["name", "architecture", "trained by", "weights"]
    table = table_of("Pre-trained sources", [*headings, f"role in study {study.name}"])
    for name, info in SOURCES.items():
        roles = [role for role, chosen in study.config.sources.items() if chosen == name]
        weights = "shipped" if info.shipped else "official file"
        table.add_row(name, info.architecture, info.objective, weights, ", ".join(roles))
    console.print(table)


@source.command("prepare")
def prepare_source(
    name: Annotated[str, typer.Argument(help="A source, e.g. `tiny_ibot`.")],
    config: Configs = DEFAULT_CONFIG,
) -> None:
    """Check a source's file and put it, as safetensors, where the jobs look for it.

    gta source prepare tiny_ibot
    """
    from gta.models.sources import prepare_source

    study = Study.load(config)
    prepare_source(name, study.weights(name))
    print(study.weights(name))


@source.command("train")
def train_source(
    name: Annotated[str, typer.Argument(help="A tiny source, e.g. `tiny_ibot`.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The safetensors file to write.")],
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.  [default: all cores]")
    ] = None,
) -> None:
    """Train one of the embedded study's sources again, from nothing, on rendered images.

    gta source train tiny_ibot --out tiny_ibot.safetensors
    """
    import torch

    from gta.pretrain import pretrain

    if threads:
        torch.set_num_threads(threads)
    with bars() as progress:
        task = progress.add_task(name, total=None)
        metadata = pretrain(
            name, out, lambda done, steps: progress.update(task, completed=done, total=steps)
        )
    print(f"{out}: {metadata['attention_mass']} of the [cls] attention on the object")
