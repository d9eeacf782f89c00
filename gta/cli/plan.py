"""``gta plan``."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gta import results
from gta.catalog import ACCELERATORS, UTILISATION
from gta.cli.options import DEFAULT_CONFIG, Configs, Device, console, table_of
from gta.cli.runs import State, undecided, undecided_line
from gta.results.origins import origins_of
from gta.study import Run, Study

if TYPE_CHECKING:
    from gta.plan import Calibration, Estimator, Space, Speed, Work

    Hours = dict[Speed, dict[str, float]]

PRECISIONS = ("float32", "bfloat16", "float16")
SMALL = 10**9  # operations for an image, below which a model does not fill a GPU


NOTHING = (
    "Time: the model is too small for a GPU's peak to tell it (--on NAME estimates all the same); "
    "`gta plan --measure` measures this machine."
)
ESTIMATES = (
    "Estimates are peaks of data sheets times an assumed share (--utilisation), without "
    "augmentation, which is the host's work."
)


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("plan")(plan)


def plan(
    config: Configs = DEFAULT_CONFIG,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"A GPU to estimate for: {', '.join(ACCELERATORS)}; given again, several.  "
            "[default: all]",
            show_default=False,
        ),
    ] = None,
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of its peak that a GPU is taken to reach.")
    ] = UTILISATION,
    count: Annotated[
        int,
        typer.Option(
            "--devices", min=1, metavar="N", help="How many devices there are; each takes a job."
        ),
    ] = 1,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure this machine too, by a few steps of the recipe."),
    ] = False,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print it all as one object.")] = False,
) -> None:
    """Estimate the cost of a study before it runs: images, hours, disk; and show what is done.

    Hours of devices that do nothing else, each with one job at a time, the longest first: for GPUs
    by name an **estimate**, the data sheet's peak times a share that is assumed; for this machine
    what a short run shows (`--measure`, a minute or so) and what the runs that are done took.
    Decoding archives, table 4's masks, tables and figures come on top.

        gta plan --config config/paper.yaml

        gta plan --config config/paper.yaml --on a100 --utilisation 0.4 --devices 8

        gta plan --measure --device cpu
    """
    from gta import plan as plans

    study = Study.load(config)
    origin = origins_of(study)
    found = {run: results.state_of(study.run_files(run), origin(run)) for run in study.runs}
    done = [run for run, where in found.items() if where.state == "done"]
    estimator = plans.Estimator(study)
    expected = [*study.runs, *(study.tuning.stand_ins(study.choice) if study.tuning else ())]
    left = set(expected).difference(done)
    jobs = {"all": estimator.jobs(expected), "left": estimator.jobs(left)}
    work = {which: sum(some, plans.Work()) for which, some in jobs.items()}
    # too small a model waits for the GPU's launches, which no peak tells: only if asked for
    small = min(estimator.each(run)[0].forward for run in study.runs) < SMALL
    names = on or ([] if small else [*ACCELERATORS])
    tf32 = _tf32(study)
    speeds = plans.of_datasheets(names, utilisation, tf32) + plans.of_runs(estimator, done)
    calibration = _measured(study, estimator, device) if measure else None
    if calibration is not None:
        speeds.append(calibration.speed)
    spaces = plans.disk(estimator)
    hours = {
        speed: {which: speed.wall(some, count) for which, some in jobs.items()} for speed in speeds
    }
    if as_json:
        content = _as_object(study, found, work, hours, spaces, calibration)
        print(json.dumps({**content, "devices": count}, indent=1))
        return
    _show_runs(study, found)
    _show_work(work)
    _show_hours(study, hours, count)
    if names:
        print(ESTIMATES)
    if calibration is not None:
        print(_tell_measured(calibration))
    _show_disk(study, spaces)
    for dataset, size in estimator.sizes.items():
        if size is None:
            print(f"{dataset}: not prepared, its size is not known: its tests and store are not in")


def _tf32(study: Study) -> bool:
    """Whether every recipe lets a GPU round float32 products to TF32."""
    return all(study.recipe(run).tf32 for run in study.runs)


def _measured(study: Study, estimator: Estimator, device: str) -> Calibration:
    import torch

    from gta.plan import calibrate
    from gta.train import pick_device

    torch.set_num_threads(study.config.threads)
    sizes = [size.classes for size in estimator.sizes.values() if size is not None]
    wait = partial(print, "waiting for a free device", file=sys.stderr, flush=True)
    from gta.train.claim import claim

    with claim(device, wait) as where:
        return calibrate(study, pick_device(where), max(sizes, default=1))


def _as_object(
    study: Study,
    found: dict[Run, results.State],
    work: dict[str, Work],
    hours: Hours,
    spaces: list[Space],
    calibration: Calibration | None,
) -> dict[str, Any]:
    return {
        "study": study.name,
        "runs": len(found),
        "states": Counter(where.state for where in found.values()),
        "undecided": undecided(study),
        "work": {which: dataclasses.asdict(some) for which, some in work.items()},
        "hours": [
            {
                "device": speed.name,
                "precision": speed.precision,
                "basis": speed.basis,
                **needed,
            }
            for speed, needed in hours.items()
        ],
        "disk": [dataclasses.asdict(space) for space in spaces],
        "measured": None if calibration is None else dataclasses.asdict(calibration),
    }


def _show_runs(study: Study, found: dict[Run, results.State]) -> None:
    counts = Counter(where.state for where in found.values())
    said = ", ".join(f"{counts[state.value]:,} {state}" for state in State if counts[state.value])
    print(f"study {study.name}: {len(found):,} runs in {len(study.packs):,} jobs ({said})")
    if (line := undecided_line(study)) is not None:
        print(f"{line}; work and time are told with the fewest, disk without them")
    for run, where in found.items():
        if where.state == "failed":
            print(f"failed: {run.name}\n  {where.reason}")


def _show_work(work: dict[str, Work]) -> None:
    table = table_of("Images through models", ["what"], ["all", "left", "operations, all"])
    rows = (
        ("training, forward and backward", "trained", "training_flops"),
        ("source, forward", "source", "source_flops"),
        ("test and held out, forward", "tested", "testing_flops"),
        ("read and augmented", "augmented", None),
    )
    for title, images, flops in rows:
        counts = [f"{getattr(some, images):,}" for some in work.values()]
        table.add_row(title, *counts, _scaled(getattr(work["all"], flops), "FLOP") if flops else "")
    console.print(table)


def _show_hours(study: Study, hours: Hours, count: int) -> None:
    if not hours:
        print(NOTHING)
        return
    used = {study.recipe(run).precision for run in study.runs}
    named = {"float32": "float32 (TF32)"} if _tf32(study) else {}
    headings = [f"{named.get(one, one)}{' *' * (one in used)}" for one in PRECISIONS]
    on = "one device" if count == 1 else f"{count:,} devices"
    title = f"Time on {on} for what is left (* the recipe's precision)"
    table = table_of(title, ["device", "basis"], headings)
    rows: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(dict)
    for speed, needed in hours.items():
        rows[speed.name, speed.basis][speed.precision] = needed
    for names, row in rows.items():
        table.add_row(*names, *(_time(row.get(precision)) for precision in PRECISIONS))
    console.print(table)


def _tell_measured(found: Calibration) -> str:
    fewer = "" if found.batch == found.wanted else f" in place of {found.wanted}"
    return (
        f"Measured with {found.threads} CPU thread(s), batch {found.batch}{fewer}, random images; "
        f"images a second: finetune {found.finetune:,.1f}, gta {found.gta:,.1f}, "
        f"test {found.tested:,.1f}, augmentation {found.speed.augmentation:,.1f}."
    )


def _time(needed: dict[str, float] | None) -> str:
    if needed is None:
        return "-"
    whole, left = (_duration(needed[which]) for which in ("all", "left"))
    return left if left == whole else f"{left} of {whole}"


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.1f} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _show_disk(study: Study, spaces: list[Space]) -> None:
    table = table_of("Disk", ["what"], ["number", "in all, about", "here"])
    for space in spaces:
        table.add_row(
            space.kind, f"{space.files:,}", _scaled(space.bytes, "B"), _scaled(space.here, "B")
        )
    table.add_section()
    whole, here = (sum(sizes) for sizes in zip(*((s.bytes, s.here) for s in spaces), strict=True))
    table.add_row("all", "", _scaled(whole, "B"), _scaled(here, "B"))
    console.print(table)
    for folder in (study.folder, study.store_root):
        there = next(place for place in (folder, *folder.parents) if place.exists())
        print(f"free for {folder}: {_scaled(shutil.disk_usage(there).free, 'B')}")


def _scaled(count: float, unit: str) -> str:
    """A number with an SI prefix."""
    for prefix, size in zip("EPTGMk", (1e18, 1e15, 1e12, 1e9, 1e6, 1e3), strict=True):
        if count >= size:
            return f"{count / size:,.1f} {prefix}{unit}"
    return f"{count:g} {unit}"
