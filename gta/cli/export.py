"""``gta export``, ``gta archive`` and ``gta import``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gta.cli.options import DEFAULT_CONFIG, Configs, bars
from gta.errors import GtaError
from gta.project import find_project

AsJson = Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export")(export)
    app.command("archive")(archive)
    app.command("import")(import_results)


def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|STUDY",
            help="A run (its name, or a file of it under `results`) for a model; a study (its "
            "name, results folder or config) for `--to`.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write.")] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Of a study: `csv`, `mlflow`, `tensorboard`."),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Of a run: `model.onnx` too, with the attention map.")
    ] = False,
    config: Configs = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write a run's model for timm (and ONNX), or a study's results for another tool.

    The model folder holds safetensors and `config.json`, which
    `timm.create_model("local-dir:FOLDER", pretrained=True)` loads, class names, preprocessing, and
    a model card.

        gta export --out model dataset=cub/rate=15/source=ibot/method=gta/mix=none/lam=10/seed=0

        gta export mini --to csv --out mini-csv
    """
    import gta
    from gta.export import export_model, export_study
    from gta.interface.locate import open_run

    if to is not None:
        study = gta.open(what)
        target = out or study.folder / "exports" / to
        with bars() as progress:
            task = progress.add_task(to, total=None)
            written = export_study(
                study, to, target, lambda n, total: progress.update(task, completed=n, total=total)
            )
    elif out is None:
        raise GtaError("say where to write the model: --out FOLDER; or of a study, --to TARGET")
    else:
        study, run = open_run(what, config)
        configs = [word for file in config for word in ("--config", str(file))]
        command = shlex.join(["gta", "export", run.name, *configs, "--out", str(out)])
        written = export_model(study, run, out, command, onnx)
    _show(written, as_json)


def _show(written: list[Path], as_json: bool) -> None:
    if as_json:
        print(json.dumps([str(path) for path in written], indent=1))
    else:
        for path in written:
            print(path)


def archive(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Its name, results folder or config.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The tar file.  [default: STUDY.tar]")
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="Take trained weights too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a study's results into one tar file, with a manifest of digests, machine and commits.

    gta archive mini --out mini.tar
    """
    import gta
    from gta.export import write_archive

    opened = gta.open(study)
    path = out or Path(f"{opened.name}.tar")
    with bars() as progress:
        task = progress.add_task("archive", total=None)
        manifest = write_archive(
            opened, path, models, lambda n, total: progress.update(task, completed=n, total=total)
        )
    if as_json:
        print(json.dumps(manifest, indent=1))
    else:
        size = path.stat().st_size / 1e6
        print(
            f"{path}: {len(manifest['runs'])} runs, {len(manifest['files'])} files, {size:.1f} MB"
        )


def import_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `gta archive`.")],
    as_json: AsJson = False,
) -> None:
    """Put an archive's results into this project; what is there is never overwritten.

    The whole archive is compared with its digests first. `gta runs` says which results came from
    another machine.

        gta import mini.tar
    """
    from gta.export import import_archive

    results = find_project() / "results"
    with bars() as progress:
        task = progress.add_task("check", total=None)
        manifest = import_archive(
            file, results, lambda n, total: progress.update(task, completed=n, total=total)
        )
    if as_json:
        print(json.dumps(manifest, indent=1))
        return
    folder = results / manifest["study"]
    print(
        f"{folder}: {manifest['new']} of {len(manifest['files'])} files are new; "
        f"{len(manifest['runs'])} runs of {manifest['machine']}, commit "
        f"{', '.join(commit[:12] for commit in manifest['commits'])}"
    )
    if not manifest["new"]:
        print("everything was here already", file=sys.stderr)
