"""``gta clean``: results and prepared data that no config refers to any more."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.text import Text

from gta.cli.options import console
from gta.errors import GtaError
from gta.results.clean import ABOUT, Item, What, recorded, remove, strangers, unused
from gta.study import Study
from gta.study.discover import FOLDER, discover

NAMED = 10  # paths of one kind, without --list


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("clean")(clean)


def clean(
    what: Annotated[
        list[What] | None, typer.Argument(metavar="WHAT", help="Kinds, e.g. `retired`.")
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[,FILE]",
            help="A study beside those of `config/`: its config, and what is laid over it. "
            "Repeat it for several.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show it, remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    names: Annotated[bool, typer.Option("--list", help="Name every file and folder.")] = False,
) -> None:
    """Show and remove what no config refers to any more; it asks first.

    **retired** results of `gta rerun`; results of **runs** that their study no longer has;
    **weights** that it no longer keeps; **checkpoints** of runs that are done, and damaged files;
    **pages**: tables and figures that it no longer has; **stores**: prepared datasets and
    sources of other settings; **unpacked** archives of datasets that are prepared;
    **leftovers**: half-written files of processes that were killed. All, where none is named.
    A file or folder goes only if what it holds tells that gta wrote it.

    The configs are those of `config/`, each overlay on its study, and those given with
    `--study`. Results of any other study are left alone, and so is the prepared data that its
    last run used. Archives and official weights are never touched.

        gta clean --dry-run

        gta clean retired stores --study my.yaml --study config/paper.yaml,overlay.yaml
    """
    studies = _studies(study or [])
    others = strangers(studies)
    records = [one for one in map(recorded, others) if one is not None]
    items = [item for item in unused(studies, records) if not what or item.what in what]
    console.print(f"studies: {', '.join(one.name for one in studies)}")
    for folder in others:
        console.print(f"left alone: {folder}, of no config that is known here")
    if not items:
        console.print("nothing to remove")
        return
    _show(items, names)
    size = decimal(sum(item.size for item in items))
    if dry_run:
        console.print(f"{len(items):,} to remove, {size}")
        return
    if not yes:
        typer.confirm(f"Remove these {len(items):,}, {size}?", abort=True)
    for item in items:
        remove(item)
    console.print(f"removed {len(items):,}, {size}")


def _studies(given: list[str]) -> list[Study]:
    """The studies of the folder of configs and those given, each once.

    Raises:
        GtaError: if one cannot be read: what it refers to would be taken for unused.
    """
    own = [tuple(map(Path, one.split(","))) for one in given]
    files = dict.fromkeys(
        [*discover(but={overlay for paths in own for overlay in paths[1:]}), *own]
    )
    studies: dict[str, Study] = {}
    for study in map(Study.load, files):
        other = studies.setdefault(study.name, study)
        if other is not study:
            both = " and ".join(",".join(map(str, one.files)) for one in (other, study))
            raise GtaError(f"{both} are both named {study.name!r} and share results; rename one")
    if not studies:
        raise GtaError(f"{FOLDER}: holds no config; give those of your studies with --study")
    return list(studies.values())


def _show(items: list[Item], names: bool) -> None:
    kinds: dict[What, list[Item]] = defaultdict(list)
    for item in items:
        kinds[item.what].append(item)
    for what, members in kinds.items():
        size = decimal(sum(item.size for item in members))
        console.print(Text(f"{ABOUT[what]} ({what}): {len(members):,}, {size}", style="bold"))
        shown = members if names or len(members) <= NAMED else members[: NAMED - 1]
        for item in shown:
            console.print(f"  {decimal(item.size):>9}  {item.path}", soft_wrap=True, markup=False)
        if len(shown) < len(members):
            console.print(f"  … and {len(members) - len(shown):,} more (--list names all)")
