"""``python -m benchmarks``."""

from __future__ import annotations

import dataclasses
import json
import os
import pkgutil
import subprocess
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import measures
from benchmarks.figures import Figure, SkippedError
from benchmarks.machine import ROOT, describe
from benchmarks.page import cells, table, to_json

MEASURES = sorted(module.name for module in pkgutil.iter_modules(measures.__path__))
# The kernels of ATen, oneDNN and MKL as a processor without AVX-512 would choose them.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
console = Console(stderr=True, markup=False)  # "[cls]" is text
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
    slow: Annotated[bool, typer.Option(help="Measure also what takes minutes each.")] = False,
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
    """Measure, and print the table; of all that takes seconds, where no NAME is given.

    Measurements of a model's step are made twice on a processor with AVX-512: as it is, and with
    the kernels of one that has AVX2 alone.

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
        minutes = getattr(module_of(name), "SLOW", None)
        if minutes and not (names or slow):
            skipped[name] = f"takes {minutes}; `python -m benchmarks --slow` measures it too"
            continue
        for processor, environment in _processors(name, machine):
            found = _in_process(name, repeats, environment)
            figures += [_figure(row, processor) for row in found["figures"]]
            if found["skipped"]:
                skipped[name] = found["skipped"]
    Console().print(table(figures))
    for name, why in skipped.items():
        console.print(f"{name}: not measured: {why}")
    for figure in figures:
        if figure.reached is False:
            _, value, spread, wanted, *_ = cells(figure)
            scatter = f" (spread {spread})" if spread else ""
            console.print(f"{figure.name}: {value}{scatter} falls short of its goal, {wanted}")
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


def _processors(name: str, machine: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """The kinds of processor that a measurement is made for: suffix and environment."""
    kinds: list[tuple[str, dict[str, str]]] = [("", {})]
    if getattr(module_of(name), "EACH_PROCESSOR", False) and "AVX512" in machine["CPU extensions"]:
        kinds.append(("AVX2", AVX2))
    return kinds


def _figure(row: dict[str, Any], processor: str) -> Figure:
    figure = Figure(**{**row, "values": tuple(row["values"])})
    if not processor:
        return figure
    name, what = f"{figure.name}_{processor.lower()}", f"{figure.what}; {processor}"
    return dataclasses.replace(figure, name=name, what=what)


def _in_process(name: str, repeats: int | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Measure in a process of its own: none finds what another has loaded, or how it was set."""
    console.print(f"{name}: {(module_of(name).__doc__ or '').splitlines()[0]}")
    command = [sys.executable, "-m", "benchmarks", name, "--rows"]
    command += [] if repeats is None else ["--repeats", str(repeats)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
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
