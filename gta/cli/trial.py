"""``gta try``: a first study on one's own photographs, in one command."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from gta import files
from gta.cli.options import Device, bars, claimed, console, table_of
from gta.errors import GtaError
from gta.project import find_project

if TYPE_CHECKING:
    from gta.interface import StudyResults
    from gta.trial import Choices, Finding, Look

TINY_SIZE, SIZE = 48, 112
TINY_ITERATIONS, ITERATIONS = 80, 300


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("try")(try_folder)


def try_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Class folders; or `train` and `test` with class folders; or a CSV file. A "
            "`masks` folder beside them is used.",
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="A source of `gta source list`, a checkpoint file, or a model's name in timm or "
            "on the Hugging Face hub.",
        ),
    ] = "tiny_ibot",
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="timm's name of the model in a checkpoint file."),
    ] = None,
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help="Methods to run, with commas; finetune is one.")
    ] = "finetune,gta,linear_probe",
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Side of the model's input, pixels.  [default: 112; tiny: 48]"),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=2, help="Of each run.  [default: 300; tiny sources: 80]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the study.  [default: the folder's]")
    ] = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Stop before training."),
    ] = False,
) -> None:
    """Fine-tune on a folder of photographs, with and without GTA, and say what came out.

    Looks at the folder, writes the study into `config/<name>.yaml`, trains each method with three
    seeds at several λ, chooses λ on held-out images, and ends with test accuracy, intervals,
    attention maps, and the commands for more. Typed again, it resumes.

        gta try photos/

        gta try photos/ --source vit_small_patch14_dinov2.lvd142m --size 112
    """
    from gta.trial import Choices, check, choose_source, estimate, look_at, study_text, train
    from gta.trial.study import check_methods, name_of

    begin = time.monotonic()
    chosen = tuple(dict.fromkeys(part.strip() for part in methods.split(",") if part.strip()))
    check_methods(chosen)
    source_name, origin, of_model = choose_source(source, architecture)
    tiny = of_model.startswith("vit_mini_")
    choices = Choices(
        name or name_of(folder),
        chosen,
        source_name,
        origin,
        of_model,
        size or (TINY_SIZE if tiny else SIZE),
        iterations or (TINY_ITERATIONS if tiny else ITERATIONS),
    )
    with bars() as progress:
        task = progress.add_task("look at the images", total=None)
        look = look_at(folder, lambda n, total: progress.update(task, completed=n, total=total))
    _show_look(look)
    root = find_project()
    config = root / "config" / f"{choices.name}.yaml"
    command = shlex.join(["gta", "try", str(folder), *_given(source, architecture, methods, size)])
    _write_study(config, study_text(look, choices, command))
    with bars() as progress:
        task = progress.add_task("prepare the images", total=None)
        trial = check(
            config, root, lambda n, total: progress.update(task, completed=n, total=total)
        )
    runs = len(trial.study.runs)
    import torch

    torch.set_num_threads(trial.study.config.threads)
    with claimed(device) as where:
        with console.status("measure this machine's speed"):
            seconds = estimate(trial, where)
        print(f"{runs} runs of {choices.iterations} iterations, about {_span(seconds)} on {where}")
        if dry_run:
            print(f"next: gta try {shlex.quote(str(folder))}, or snakemake --configfile {config}")
            return
        with bars() as progress:
            task = progress.add_task("train", total=None)
            findings, results = train(
                trial,
                where,
                lambda title, n, total: progress.update(
                    task, description=title, completed=n, total=total
                ),
            )
    _show_findings(results, findings, choices)
    print(f"took {_span(time.monotonic() - begin)}")


def _given(source: str, architecture: str | None, methods: str, size: int | None) -> list[str]:
    options = ["--source", source]
    options += ["--architecture", architecture] if architecture else []
    options += ["--methods", methods]
    return [*options, *(["--size", str(size)] if size else [])]


def _show_look(look: Look) -> None:
    for line in look.facts():
        print(line)
    for line in look.warnings():
        print(f"warning: {line}", file=sys.stderr)


def _write_study(config: Path, text: str) -> None:
    """Write the study's file; one that says the same stays, comments and all.

    Raises:
        GtaError: if there is one that says something else.
    """
    if config.exists():
        if yaml.safe_load(config.read_text(encoding="utf-8")) == yaml.safe_load(text):
            print(f"{config}: there already, with these settings")
            return
        raise GtaError(
            "is there already, with other settings",
            where=config,
            remedy=f"run it with `snakemake --configfile {config}`, or give --name",
        )
    files.write_text(config, text)
    print(f"{config}: written")


def _show_findings(results: StudyResults, findings: list[Finding], choices: Choices) -> None:
    table = table_of(
        "Test accuracy, mean ± deviation over seeds; gain over fine-tuning with 95 % interval",
        ["method", "λ"],
        ["accuracy (%)", "gain (points)", "interval"],
    )
    for one in findings:
        lam = f"{one.lam:g}" if one.lam else ""
        gain = "" if one.gain is None else f"{one.gain:+.1f}"
        ends = "" if one.low is None else f"{one.low:+.1f} to {one.high:+.1f}"
        accuracy = f"{one.accuracy:.1f} ± {one.deviation:.1f}"
        table.add_row(results.methods[one.method], lam, accuracy, gain, ends)
    console.print(table)
    print(_verdict(findings))
    if choices.tiny:
        print("The tiny source shows that it works; for accuracy that counts: --source dinov2")
    folder, config = results.folder, f"config/{choices.name}.yaml"
    best = results.chosen("heldout", method="gta" if "gta" in choices.methods else "finetune")
    print(
        f"attention maps   {folder / 'figures' / 'maps.png'}\n"
        f"results page     {folder / 'index.html'}\n"
        f"edit and rerun   snakemake --configfile {config}\n"
        f"take a model     gta export {shlex.quote(best[0].name)} --config {config} --out model\n"
        f"in Python        gta.open({choices.name!r})"
    )


def _verdict(findings: list[Finding]) -> str:
    """Conclusion that the numbers support, in one line."""
    gta = next((one for one in findings if one.method == "gta"), None)
    if gta is None or gta.gain is None or gta.low is None or gta.high is None:
        return "GTA was not run."
    if gta.low > 0:
        return f"GTA is above fine-tuning by {gta.gain:.1f} points; the interval excludes zero."
    if gta.high < 0:
        return f"GTA is below fine-tuning by {-gta.gain:.1f} points; the interval excludes zero."
    return "No difference between GTA and fine-tuning is shown: the interval holds zero."


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
