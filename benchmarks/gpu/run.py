"""Everything in order of importance, within a number of seconds; each result is kept at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from benchmarks.gpu import card, loops, side
from benchmarks.gpu.jobs import Case, measure, measure_testing
from benchmarks.gpu.page import page
from benchmarks.gpu.scale import PAPER, SMALL, TINY, Data
from benchmarks.inputs import working_folder
from benchmarks.machine import ROOT, cores, describe

EACH = 2.5  # seconds that a measurement times
# Other tests import packages that training does not need.
TESTS = ("tests/gpu", "tests/data/batches/test_loader.py")
TEST_SECONDS = 120  # after which the tests are given up

HALF, FULL = "float16", "bfloat16"
CASES: tuple[Case, ...] = (
    Case("finetune"),
    Case("gta"),
    Case("finetune", precision=HALF),
    Case("gta", precision=HALF),
    Case("gta", runs=4),
    Case("finetune", resident=False, randaugment="device"),
    Case("gta", resident=False, randaugment="device"),
    Case("finetune", resident=False, randaugment="host"),
    Case("gta", runs=4, resident=False, randaugment="device"),
)
LATER: tuple[Case, ...] = (
    Case("all"),
    Case("finetune", compiled=True),
    Case("finetune", precision=HALF, resident=False, randaugment="host"),
    Case("gta", compiled=True),
    Case("gta", runs=21),
    Case("gta", runs=4, compiled=True),
    Case("gta", precision=HALF, compiled=True),
)

console = Console(stderr=True)


class Results:
    """What was found so far, in ``gpu.json``.

    Attributes:
        found: by kind: machine, tests, peaks, jobs, loops and others; lists of rows.
    """

    def __init__(self, path: Path) -> None:
        """Begin anew in a file."""
        self.path = path
        self.found: dict[str, Any] = {}

    def keep(self, kind: str, value: Any) -> None:
        """Add a value, or a row to a list, and write the file."""
        if isinstance(value, list):
            self.found.setdefault(kind, []).extend(value)
        else:
            self.found[kind] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")


def main(
    out: Path, document: Path | None, seconds: float, device: str, tiny: bool, deit: Path | None
) -> int:
    """Test and measure.

    Args:
        out: folder for gpu.json and the tests' log.
        document: the page to write, with a copy of gpu.json beside it; None for ``out``/gpu.md.
        seconds: after which no further measurement begins.
        device: where to train; ``cpu`` only tries the command out.
        tiny: take sizes that a CPU can do.
        deit: a clone of DeiT.

    Returns:
        The exit status: 1 if a test failed.
    """
    import torch

    out = out.resolve()
    begin = time.monotonic()
    results = Results(out / "gpu.json")
    results.keep("machine", describe())
    if device.startswith("cuda"):
        results.keep("tests", run_tests(out / "gpu-tests.log"))
    torch.set_num_threads(cores())
    scale = TINY if tiny else PAPER
    each = 0.1 if tiny else EACH
    results.keep("peaks", card.peaks(scale, device))
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store"):
        data = Data(scale)
        results.keep("data", {"kind": data.kind, **asdict(scale)})
        for kind, row, work in steps(data, device, each, deit):
            left = seconds - (time.monotonic() - begin)
            if left <= 0:
                results.keep(kind, [row | {"skipped": "no time was left"}])
                continue
            console.print(f"{left:4.0f} s left: {kind} {' '.join(map(str, row.values()))}")
            results.keep(kind, [row | attempt(work)])
    target = document or out / "gpu.md"
    target.write_text(page(results.found), encoding="utf-8")
    if document is not None:
        shutil.copyfile(results.path, document.with_suffix(".json"))
    console.print(f"written: {results.path}, {target}")
    return 1 if results.found.get("tests", {}).get("failed") else 0


def steps(
    data: Data, device: str, each: float, deit: Path | None
) -> Iterator[tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]]:
    """All measurements, the most important first: kind, what is measured, and the work."""

    def job(case: Case) -> tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]:
        return "jobs", asdict(case), partial(measure, case, data, device, each)

    def loop(who: str, feed: str) -> tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]:
        row = {"loop": who, "feed": feed, "precision": HALF}
        return "loops", row, partial(loops.measure, who, feed, data, device, each, deit)

    yield from map(job, CASES)
    yield loop("deit", "memory")
    yield loop("timm", "memory")
    for runs in (1, 4):
        case = Case("gta", runs=runs)
        yield "testing", {"runs": runs}, partial(measure_testing, case, data, device)
    yield "segmentation", {}, partial(card.measure_segmentation, data.scale, device)
    small, processes = (TINY, (1, 2)) if data.scale is TINY else (SMALL, (1, 4, 12))
    for count in processes:
        row = {"processes": count, "precision": FULL}
        yield "side_by_side", row, partial(side.measure, small, count, device, 2 * each)
    yield from map(job, LATER[:3])
    yield loop("deit", "jpegs")
    yield loop("timm", "jpegs")
    yield from map(job, LATER[3:])


def attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` finds, or why it did not: the others are still measured."""
    begin = time.monotonic()
    try:
        found = work()
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        console.print(f"  failed: {reason}")
        return {"failed": reason}
    spent = time.monotonic() - begin
    shown = {key: round(v, 3) if isinstance(v, float) else v for key, v in found.items()}
    console.print(f"  {shown} in {spent:.0f} s")
    return found


def run_tests(log: Path) -> dict[str, Any]:
    """The tests that need a GPU, in processes side by side where pytest-xdist is there."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *TESTS]
    if find_spec("xdist") is not None:
        command += ["-n", str(min(4, cores())), "--dist", "load"]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=TEST_SECONDS, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
    except subprocess.TimeoutExpired as expired:
        said = f"given up after {TEST_SECONDS} s\n" + _text(expired.stdout)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(said, encoding="utf-8")
    counts = outcomes(said)
    failures = re.findall(r"^(?:FAILED|ERROR) (.*)$", said, flags=re.MULTILINE)
    for failure in failures:
        console.print(f"failed: {failure}")
    console.print(f"tests: {counts} in {time.monotonic() - begin:.0f} s")
    return counts | {"seconds": time.monotonic() - begin, "failures": failures}


def outcomes(said: str) -> dict[str, int]:
    """Numbers of tests by outcome, of pytest's summary; one has failed where there is none."""
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    summaries = re.findall(r"^(?:=+ )?(\d+ \w+(?:, \d+ \w+)*) in \d", said, flags=re.MULTILINE)
    for number, word in re.findall(r"(\d+) (\w+)", summaries[-1] if summaries else "1 failed"):
        word = "failed" if word in ("error", "errors") else word
        if word in counts:
            counts[word] += int(number)
    return counts


def _text(output: bytes | str | None) -> str:
    """What a process printed before it was given up: bytes, whatever was asked for."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
