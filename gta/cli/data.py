"""``gta data``: the datasets that training works on."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from gta.catalog import DATASETS
from gta.cli.options import DEFAULT_CONFIG, AsJson, Configs, bars, console, table_of, transfers
from gta.errors import GtaError
from gta.study import Study

data = typer.Typer(
    no_args_is_help=True, help="Datasets: list, fetch, check and prepare them.\n\n"
    "Archives lie in `data/archives` (or where GTA_ARCHIVES says), prepared datasets in "
    "`data/store` (GTA_STORE). What you place there by hand is checked and used; then nothing is "
    "fetched."
)  # fmt: skip

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Datasets, e.g. `cub pet`.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(data, name="data")


@data.command("list")
def list_data(config: Configs = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List all known datasets and which of their files are here."""
    study = Study.load(config)
    if as_json:
        print(json.dumps([_as_object(study, name) for name in _known(study)], indent=1))
        return
    headings = ["name", "domain", "files", f"prepared for {study.name}"]
    table = table_of("Datasets", headings, ["classes", "train", "held out", "test"])
    for name in _known(study):
        info = study.dataset_info(name)
        there = (study.store(name) / "store.json").exists()
        words = [name, info.domain, _files(study, name), "yes" if there else "no"]
        table.add_row(*words, *(f"{number:,}" for number in _counts(study, name)))
    console.print(table)


def _known(study: Study) -> list[str]:
    return [*DATASETS, *study.config.own_datasets]


def _as_object(study: Study, name: str) -> dict[str, Any]:
    counts = dict(zip(("classes", "train", "heldout", "test"), _counts(study, name), strict=False))
    prepared = (study.store(name) / "store.json").exists()
    words = {"name": name, "domain": study.dataset_info(name).domain, "files": _files(study, name)}
    return {**words, "prepared": prepared, **counts}


def _counts(study: Study, name: str) -> tuple[int, ...]:
    """Classes, training, held-out and test images; empty if they are not known."""
    counts = study.dataset_info(name).counts
    if counts is not None:
        return (counts.classes, counts.train, counts.heldout, counts.test)
    if name not in study.config.own_datasets:
        return ()
    from gta.data.contents import listing_of
    from gta.data.fetch.obtain import folder_of

    try:
        folder = folder_of(study, name)
        listing = listing_of(study, name, folder) if folder is not None else None
    except GtaError:  # `gta data check` tells it
        listing = None
    if listing is None:
        return ()
    splits = [entry.split for entry in listing.entries]
    return (len(listing.classes), *(splits.count(s) for s in ("train", "heldout", "test")))


def _files(study: Study, name: str) -> str:
    """Summary of which files of a dataset are present."""
    from gta.data.fetch.archives import find
    from gta.data.fetch.obtain import folder_of

    info = study.dataset_info(name)
    if info.kind == "procedural":
        return "rendered"
    try:
        folder = folder_of(study, name)
    except GtaError:
        return f"{info.folder} is missing"
    if folder is not None:
        return str(folder)
    found = {form: [find(a, study.archives_root) for a in form.archives] for form in info.forms}
    here = [path for paths in found.values() if all(paths) for path in paths if path]
    if here:
        return ", ".join(path.name for path in here)
    if any(all(archive.urls for archive in form.archives) for form in info.forms):
        return "to fetch"
    return "place by hand"


@data.command("fetch")
def fetch_data(names: Names, config: Configs = DEFAULT_CONFIG) -> None:
    """Fetch the archives of datasets and check them; files that are here are only checked.

    An interrupted transfer continues where it stopped. Proxies are taken from HTTPS_PROXY and
    the like.

        gta data fetch cub pet
    """
    from gta.data.fetch.obtain import (
        fetch_archives,
        fetch_lists,
        folder_of,
        records_of,
        write_record,
    )

    study = Study.load(config)
    with transfers() as watch:
        for name in names:
            info = study.dataset_info(name)
            folder = folder_of(study, name)
            if info.kind == "procedural":
                print(f"{name}: is rendered here, there is nothing to fetch")
            elif folder is not None:
                if info.forms:
                    lists = records_of(fetch_lists(study, info, watch))
                    write_record(study, name, [{"folder": str(folder)}, *lists])
                print(f"{name}: the folder {folder} is used, nothing is fetched")
            else:
                for one in fetch_archives(study, name, watch).values():
                    print(f"{name}: {one.path} ({one.size:,} bytes, {one.verified})")


@data.command("check")
def check_data(names: Names, config: Configs = DEFAULT_CONFIG) -> None:
    """Check the archives of datasets that are here, reading each again; fetch nothing.

    Of a folder, unpacked by hand or of your own, all images are decoded.

        gta data check cars
    """
    from gta.data.fetch.archives import check, find
    from gta.data.fetch.obtain import choose_form, folder_of
    from gta.data.inspection import inspect_files, require_sound

    study = Study.load(config)
    for name in names:
        info = study.dataset_info(name)
        folder = folder_of(study, name)
        if info.kind == "procedural":
            print(f"{name}: is rendered here, there is nothing to check")
            continue
        if folder is not None:
            with bars() as progress:
                show = partial(_show, progress, progress.add_task(f"{name}: images", total=None))
                found = inspect_files(study, name, folder, show)
            require_sound(found)
            images, classes = len(found.listing.entries), len(found.listing.classes)
            print(f"{name}: {folder}: {images:,} images of {classes:,} classes")
            continue
        for archive in choose_form(info, study.archives_root, name).archives:
            path = find(archive, study.archives_root)
            if path is None:
                raise GtaError(
                    f"{study.archives_root / archive.file}: missing; `gta data fetch {name}` "
                    "fetches it"
                )
            with console.status(escape(f"reading {path}")):
                one = check(archive, path, study.store_root / "digests", afresh=True)
            print(f"{name}: {path} ({one.size:,} bytes, sha256 {one.sha256}, {one.verified})")


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _say_wait(name: str) -> None:
    print(f"{name}: waiting for another process that prepares it", file=sys.stderr, flush=True)


@data.command("prepare")
def prepare_data(names: Names, config: Configs = DEFAULT_CONFIG) -> None:
    """Render or read datasets into stores, which all jobs map into memory.

    Uses all cores; after a kill, the next call continues where it stopped. A store that exists
    is kept, unless the files of yours that it was made from have changed.

        gta data prepare mini_near
    """
    from gta.data.prepare import prepare

    study = Study.load(config)
    for name in names:
        with transfers() as watch, bars() as progress:
            task = progress.add_task(f"{name}: images", total=None)
            show = partial(_show, progress, task)
            store = prepare(study, name, show, watch, partial(_say_wait, name))
        splits = ", ".join(f"{len(store.indices(s)):,} {s}" for s in ("train", "heldout", "test"))
        print(f"{store.folder}: {len(store.classes)} classes, images: {splits}")
        for fault in store.notes.get("left_out", ()):
            print(f"left out: {fault}")
