"""``python -m benchmarks``."""

from __future__ import annotations

import dataclasses
import json
import pkgutil
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import measures
from benchmarks.figures import Figure, SkippedError
from benchmarks.machine import ROOT, describe
from benchmarks.page import table, to_json

MEASURES = sorted(module.name for module in pkgutil.iter_modules(measures.__path__))
console = Console(stderr=True)
app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help=f"One or more of: {', '.join(MEASURES)}."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="How often each is measured.  [default: its own]")
    ] = None,
    rows: Annotated[bool, typer.Option(hidden=True, help="Print JSON alone.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0, help="gpu alone: no measurement begins after so many seconds.")
    ] = 420,
    out: Annotated[
        Path | None,
        typer.Option(help="gpu alone: folder for all it writes.  [default: results and docs]"),
    ] = None,
    deit: Annotated[
        Path | None, typer.Option(help="gpu alone: a clone of DeiT, whose loop is measured too.")
    ] = None,
    device: Annotated[str, typer.Option(hidden=True)] = "cuda",
    tiny: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Measure, and print the table; of everything, where no NAME is given.

    Then results/bench.json and results/benchmarks.json, of which `python -m docs.make performance`
    makes docs/performance.md, are written too. `gpu` alone tests and measures
    everything on a GPU, within minutes, and writes docs/gpu.json and docs/gpu.md.
    """
    if names == ["gpu"] and not rows:
        raise typer.Exit(_gpu(seconds, out, deit, device, tiny))
    for name in names or ():
        if name not in MEASURES:
            console.print(f"error: there is no measurement {name!r}: {', '.join(MEASURES)}")
            raise typer.Exit(1)
    if rows:
        print(json.dumps(_measure(module_of((names or MEASURES)[0]), repeats)))
        return
    machine = describe()
    figures: list[Figure] = []
    skipped: dict[str, str] = {}
    for name in names or MEASURES:
        found = _in_process(name, repeats)
        figures += [Figure(**{**row, "values": tuple(row["values"])}) for row in found["figures"]]
        if found["skipped"]:
            skipped[name] = found["skipped"]
    Console().print(table(figures))
    for name, why in skipped.items():
        console.print(f"{name}: not measured: {why}")
    if not names:
        _write(ROOT / "results" / "bench.json", to_json(figures))
        rows_of = [dataclasses.asdict(figure) for figure in figures]
        found = {"figures": rows_of, "skipped": skipped, "machine": machine}
        _write(ROOT / "results" / "benchmarks.json", json.dumps(found, indent=1) + "\n")
        console.print("next: python -m docs.make performance")


def _gpu(seconds: float, out: Path | None, deit: Path | None, device: str, tiny: bool) -> int:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        console.print("error: there is no GPU that torch can use; nothing was measured")
        return 1
    from benchmarks.gpu.run import main as run

    document = None if out else ROOT / "docs" / "gpu.md"
    clone = None if deit is None else deit.resolve()
    return run(out or ROOT / "results", document, seconds, device, tiny, clone)


def module_of(name: str) -> ModuleType:
    """The measurement of a name."""
    return import_module(f"benchmarks.measures.{name}")


def _in_process(name: str, repeats: int | None) -> dict[str, Any]:
    """Measure in a process of its own: none finds what another has loaded, or how it was set."""
    console.print(f"{name}: {(module_of(name).__doc__ or '').splitlines()[0]}")
    command = [sys.executable, "-m", "benchmarks", name, "--rows"]
    command += [] if repeats is None else ["--repeats", str(repeats)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"figures": [], "skipped": f"failed with status {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(module: ModuleType, repeats: int | None) -> dict[str, Any]:
    try:
        found = module.measure(repeats or module.REPEATS)
    except SkippedError as reason:
        return {"figures": [], "skipped": str(reason)}
    except subprocess.CalledProcessError as error:
        traceback.print_exc()
        sys.stderr.buffer.write(error.stderr or b"")
        raise typer.Exit(1) from None
    return {"figures": [dataclasses.asdict(figure) for figure in found], "skipped": ""}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    app()
