"""Commands that process a study's results, from ``gta collect`` to ``gta notebook``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gta import outputs, results
from gta.cli.options import DEFAULT_CONFIG, AsJson, Configs, Device, bars, chosen, claimed
from gta.errors import GtaError
from gta.results.origins import origins_of
from gta.study import Study

if TYPE_CHECKING:
    import pyarrow as pa
    import torch


class Format(StrEnum):
    """Output format of a table."""

    md = "md"
    json = "json"
    csv = "csv"
    tex = "tex"
    html = "html"


class Heads(StrEnum):
    """How the heads' maps are reduced to one."""

    max = "max"
    mean = "mean"


class Selection(StrEnum):
    """By which accuracy lambda is chosen."""

    test = "test"
    heldout = "heldout"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("choose")(choose)
    app.command("collect")(collect)
    app.command("intervals")(write_intervals)
    app.command("table")(show_tables)
    app.command("segmentation")(segmentation)
    app.command("robustness")(robustness)
    app.command("averages")(averages)
    app.command("backdoor")(backdoor)
    app.command("figure")(draw_figures)
    app.command("page")(write_page)
    app.command("attention")(draw_attention)
    app.command("notebook")(execute_notebooks)


def choose(config: Configs = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Choose lambda on the seeds that the config's `tune` names, once their runs are done.

    Writes `results/<study>/chosen.json`. The runs of the other seeds at the chosen lambdas then
    belong to the study; `snakemake` does both without being told.

        gta choose --config config/paper.yaml --config config/paper-tuned.yaml
    """
    from gta.tables.choice import choose as choose_lambdas

    study = Study.load(config)
    choice = choose_lambdas(study)
    assert study.tuning is not None
    path = study.tuning.write(study.folder, choice)
    runs = len(study.tuning.chosen(choice))
    if as_json:
        print(json.dumps({"file": str(path), "cells": len(choice), "runs": runs}, indent=1))
        return
    print(f"{path}: λ of {len(choice):,} cells; {runs:,} runs follow")


def collect(config: Configs = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Gather the metrics of all runs that are done into `results/<study>/metrics.parquet`.

    Runs that are not done are listed; the tables show them as missing. No file of a run is
    changed. Damaged results are an error, once the others are collected.

        gta collect --config config/paper.yaml
    """
    study = Study.load(config)
    table, missing = results.collect_metrics(study, origins_of(study))
    results.write_collected(study, table)
    path = study.folder / "metrics.parquet"
    if as_json:
        others = [
            {"name": run.name, "state": state.state, "reason": state.reason}
            for run, state in missing.items()
        ]
        counts = {"runs": len(study.runs), "collected": table.num_rows}
        print(json.dumps({"file": str(path), **counts, "missing": others}, indent=1))
    else:
        print(f"{path}: {table.num_rows:,} of {len(study.runs):,} runs")
        for run, state in missing.items():
            print(f"{state.state}: {run.name}: {state.reason}")
    if (line := outputs.damage(study, missing)) is not None:
        raise GtaError(line)


def write_intervals(config: Configs = DEFAULT_CONFIG) -> None:
    """Compute the intervals of gains into `results/<study>/intervals.parquet`.

    Cells are compared on the predictions of all collected runs, paired by test image and run seed:
    each with fine-tuning, and all pairs within the columns of tables. Tables of accuracy mark the
    gains whose 95 % interval excludes zero. What was computed of the same predictions is kept.

        gta intervals --config config/paper.yaml
    """
    outputs.write_intervals(Study.load(config))


def show_tables(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Tables, e.g. `table2`; all of the study's if none."),
    ] = None,
    config: Configs = DEFAULT_CONFIG,
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.md,
    selection: Annotated[
        Selection | None,
        typer.Option(
            help="Lambda chosen by accuracy on the test set, as in the paper, or on held-out "
            "images.  [default: both]"
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write all formats into `results/<study>/tables` instead."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object: a list of rows for each table.")
    ] = False,
) -> None:
    """Print tables, ours beside the paper's numbers where it has them.

    They are made from `results/<study>/metrics.parquet`; `gta collect` brings that up to date.

        gta table table2 --selection heldout

        gta table --config config/paper.yaml --format csv table2 > table2.csv
    """
    from gta import tables

    study = Study.load(config)
    wanted = chosen(study, names, study.tables)
    collected = tables.read_all(study)
    if write:
        _write_each(wanted, lambda name: tables.write(study, *tables.make(study, name, collected)))
        return
    rows = {}
    for name in wanted:
        frame, page = tables.make(study, name, collected)
        if selection and "selection" in frame:
            frame = frame[frame["selection"] == selection]
            page = tables.lay_out(study, name, frame, collected)
        if as_json or form is Format.json:
            rows[name] = json.loads(frame.to_json(orient="records"))
        elif form is Format.csv:
            print(frame.to_csv(index=False), end="")
        else:
            render = {
                Format.md: tables.to_markdown,
                Format.tex: tables.to_latex,
                Format.html: tables.to_html,
            }[form]
            print(render(page))
    if as_json or form is Format.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))


def segmentation(config: Configs = DEFAULT_CONFIG, device: Device = "auto") -> None:
    """Compare the models' attention with the object masks, for table 4.

    Writes `results/<study>/segmentation.parquet` from the runs whose weights were kept.

        gta segmentation
    """
    from gta.attention import segment, write

    _measure(config, device, "segmentation", "models", segment, write)


def robustness(config: Configs = DEFAULT_CONFIG, device: Device = "auto") -> None:
    """Test finished runs on corrupted test images, without training them again.

    Writes `results/<study>/robustness.parquet` from the runs whose weights were kept. What was
    measured before is kept; the config's `robustness:` says which corruptions and how many images.

        gta robustness --config config/mini.yaml --config config/mini-robustness.yaml
    """
    from gta.robustness import measure_robustness, write

    _measure(config, device, "robustness", "passes over the test images", measure_robustness, write)


def averages(config: Configs = DEFAULT_CONFIG, device: Device = "auto") -> None:
    """Test averages of finished runs' weights, without training (WiSE-FT, soups of seeds).

    Writes `results/<study>/averages.parquet` from the runs of figures of kind `interpolation`:
    eleven steps between the linear probe and each run, and the mean over seeds where all heads
    start equal (`recipe.head_init_std: 0`).

        gta averages --config config/mini.yaml --config config/mini-averages.yaml
    """
    from gta.averages import measure_averages, write

    _measure(config, device, "averages", "cells", measure_averages, write)


def backdoor(config: Configs = DEFAULT_CONFIG, device: Device = "auto") -> None:
    """Test finished runs on images that bear a backdoor's trigger, before and after blocking.

    Writes `results/<study>/backdoor.parquet` from the runs whose weights were kept. What was
    measured before is kept; `recipe.backdoor` of a variant says what is pasted where.

        gta backdoor --config config/mini.yaml --config config/mini-backdoor.yaml
    """
    from gta.robustness import measure_backdoor, write_backdoor

    _measure(config, device, "backdoor", "runs", measure_backdoor, write_backdoor)


def _measure(
    config: list[Path],
    device: str,
    name: str,
    what: str,
    measure: Callable[[Study, torch.device, Callable[[int, int], None]], pa.Table],
    write: Callable[[Study, pa.Table], None],
) -> None:
    """Test finished runs with a progress bar that counts ``what``; write the table ``name``."""
    from gta.train import pick_device

    study = Study.load(config)
    with claimed(device) as where, bars() as progress:
        task = progress.add_task(what, total=None)
        measured = measure(
            study,
            pick_device(where),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    write(study, measured)
    print(f"{study.folder / f'{name}.parquet'}: {measured.num_rows} rows")


def draw_figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Figures, e.g. `figure4`; all of the study's if none."),
    ] = None,
    config: Configs = DEFAULT_CONFIG,
) -> None:
    """Draw figures into `results/<study>/figures`: PDF, SVG, PNG, and their data as CSV.

    gta figure figure4
    """
    from gta import figures
    from gta.tables import Collected

    study = Study.load(config)
    if not study.figures:
        raise GtaError(f"study {study.name} has no figures; its config names none")
    collected = Collected(study)
    _write_each(
        chosen(study, names, study.figures),
        lambda name: figures.write(study, name, figures.draw(study, name, collected)),
    )


def _write_each(names: Sequence[str], write: Callable[[str], Iterable[Path]]) -> None:
    """Write tables or figures and print their files; one that fails does not stop the others.

    Raises:
        GtaError: what is wrong with each that could not be written.
    """
    faults: list[str] = []
    for name in names:
        try:
            for path in write(name):
                print(path, flush=True)
        except GtaError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise GtaError("; ".join(faults))


def write_page(config: Configs = DEFAULT_CONFIG) -> None:
    """Write all results into one file, `results/<study>/index.html`, to open in a browser.

    Tables to sort and filter, figures, and behind each cell its runs, their curves and the command
    that trains them again. What is not there yet is named. It needs no network.

        gta page --config config/paper.yaml
    """
    from gta import page

    path = page.write(Study.load(config))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def draw_attention(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write `<image>.png`.")],
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="A source, as `gta source list` names it.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A trained model, e.g. a `model.safetensors` under `results/<study>/models`.",
        ),
    ] = None,
    config: Configs = DEFAULT_CONFIG,
    block: Annotated[int, typer.Option(help="Which block; -1 is the last.")] = -1,
    heads: Annotated[Heads, typer.Option(help="How the heads' maps are joined.")] = Heads.max,
) -> None:
    """Draw a model's [cls] attention in red over images of any size.

    The model's architecture and image size are those of the study's recipe.

        gta attention photo.jpg --source tiny_ibot --out maps
    """
    from gta.attention.maps import draw_files
    from gta.models.originals import prepare_source
    from gta.models.sources import load_source

    study = Study.load(config)
    if (source is None) == (weights is None):
        raise GtaError("say whose attention to draw: --source NAME, or --weights FILE")
    if source is not None:
        weights = study.weights(source)
        if not weights.exists():
            prepare_source(study, source)
    assert weights is not None
    recipe = study.config.recipe
    model = load_source(weights, recipe.architecture, recipe.image_size)
    for path in draw_files(model, recipe, images, out, block, heads.value):
        print(path)


def execute_notebooks(
    files: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK", help="Files, `.ipynb`.")],
    config: Configs = DEFAULT_CONFIG,
) -> None:
    """Run notebooks on the study's results, into pages under `results/<study>/notebooks`.

    The files are left as they are. `snakemake notebooks` makes those of `notebooks/`.

        gta notebook notebooks/lambda.ipynb --config config/paper.yaml
    """
    from gta.notebooks import execute

    study = Study.load(config)
    for file in files:
        print(execute(file, study))
