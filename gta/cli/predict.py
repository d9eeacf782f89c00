"""``gta predict``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gta import files
from gta.cli.options import DEFAULT_CONFIG, Configs, Device, bars, claimed
from gta.errors import GtaError

if TYPE_CHECKING:
    import pandas as pd

    from gta.predict import Classifier


class Form(StrEnum):
    """Output format of predictions."""

    table = "table"
    csv = "csv"
    json = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("predict")(predict)


def predict(
    model: Annotated[
        str, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of `gta export`.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES…", help="Files, folders, patterns; `-` reads names."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write `.csv` or `.parquet` instead.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to name for an image.")] = 1,
    overlays: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write each image with the attention in red."),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="What to print.")] = Form.table,
    as_json: Annotated[bool, typer.Option("--json", help="The same as `--format json`.")] = False,
    config: Configs = DEFAULT_CONFIG,
    device: Device = "auto",
) -> None:
    """Classify image files with a trained model.

    Images that cannot be decoded are named on stderr and skipped; the exit status is 1 if none
    could be read.

        gta predict model photo.jpg --top 3

        find photos -name '*.jpg' | gta predict model - --out predictions.parquet
    """
    import pandas as pd

    from gta.predict import BATCH, find_images
    from gta.predict import predict as classify

    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise GtaError(f"--out {out}: the ending must be .csv or .parquet")
    if out is not None:
        files.require_regular(out)
    named = [
        line
        for name in images
        for line in (sys.stdin.read().splitlines() if name == "-" else [name])
        if line
    ]
    paths = find_images(named)
    if not paths:
        raise GtaError("no image was named")
    classifier = _classifier(model, config)
    rows, skipped = [], 0
    with claimed(device) as where, bars() as progress:
        task = progress.add_task("images", total=len(paths))
        for answers in classify(classifier, paths, top, overlays, where):
            rows.append(answers.rows)
            skipped += len(answers.faults)
            for fault in answers.faults:
                print(f"skipped: {fault}", file=sys.stderr)
            progress.advance(task, BATCH)
    frame = pd.concat(rows, ignore_index=True)
    _write(frame, out, Form.json if as_json else form)
    if skipped == len(paths):
        raise GtaError(f"none of {len(paths)} images could be read")


def _classifier(model: str, config: list[Path]) -> Classifier:
    from gta.export import load_exported
    from gta.interface.locate import open_run
    from gta.predict import Classifier

    if Path(model).is_dir() and "dataset=" not in model:
        exported = load_exported(Path(model))
        return Classifier(exported.model, exported.classes, exported.recipe)
    _, run = open_run(model, config)
    return Classifier(run.model(), run.classes, run.recipe)


def _write(frame: pd.DataFrame, out: Path | None, form: Form) -> None:
    if out is not None:
        if out.suffix == ".csv":
            files.write_text(out, frame.to_csv(index=False))
        else:
            with files.atomic_write(out) as hidden:
                frame.to_parquet(hidden, index=False)
        print(f"{out}: {len(frame):,} images")
    elif form is Form.csv:
        print(frame.to_csv(index=False), end="")
    elif form is Form.json:
        print(json.dumps(frame.to_dict("records"), indent=1, ensure_ascii=False))
    elif len(frame):
        print(frame.to_string(index=False, float_format="{:.3f}".format))
