"""Stands for ``gta`` in tests of schedulers: the command line is the real one, training is staged.

What a training does is read from ``orders/<method>-<lambda>``, a line an attempt (past the last
line, or without the file: ``ok``); what was done is appended to ``events.jsonl``. Both lie in
the working folder. What a training leaves is made up (``tests.support.left``) and can be collected.
PyTorch is staged too: it shows the GPUs of ``CUDA_VISIBLE_DEVICES``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import gta
from gta.catalog import STORE_FORMAT
from gta.errors import GtaError
from gta.files import file_digest, write_text
from gta.results.writers import sole_writer
from gta.study import Run, Study
from tests.support.left import fail, finish

# What there is of a prepared dataset.
STORE = json.dumps({"format": STORE_FORMAT, "digest": "staged"})
EVENTS = Path("events.jsonl")


def note(what: str, key: str, **more: Any) -> None:
    """Append an event, whole, also beside other writers."""
    event = {
        "what": what,
        "key": key,
        "job": os.environ.get("SLURM_JOB_ID"),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "pid": os.getpid(),
        "time": time.time(),
        **more,
    }
    with EVENTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def order_of(key: str) -> list[str]:
    """The words of this attempt's order."""
    events = EVENTS.read_text(encoding="utf-8").splitlines()
    started = [e for e in map(json.loads, events) if (e["what"], e["key"]) == ("started", key)]
    file = Path("orders") / key
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return lines[len(started) - 1].split() if len(started) <= len(lines) else ["ok"]


def perform(key: str, order: str, *arguments: str) -> None:
    """Do what an attempt is ordered to do."""
    if order == "fail":
        raise GtaError("the loss is not finite at iteration 3 (staged)")
    if order == "wait":  # for a file
        end = time.monotonic() + 600
        while not Path(arguments[0]).exists() and time.monotonic() < end:
            time.sleep(0.1)
    if order == "eat":  # megabytes, touched
        hoard = bytearray(int(arguments[0]) * 1_000_000)
        hoard[::4096] = b"x" * len(hoard[::4096])
        time.sleep(600)
    if order == "save":  # needs seconds to save its work when it is told to stop

        def save(*_: Any) -> NoReturn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # SLURM says it twice
            note("warned", key)
            time.sleep(float(arguments[0]))
            note("saved", key)
            sys.exit(1)

        signal.signal(signal.SIGTERM, save)
        time.sleep(600)
    if order == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


def train_runs(study: Study, runs: Iterable[Run], device: str, progress: Callable) -> None:
    """In place of ``gta.train.train_runs``."""
    for run in runs:
        key = f"{run.method}-{run.lam:g}"
        note("started", key, device=device, argv=sys.argv)
        order = order_of(key)
        path = study.run_files(run).metrics
        with sole_writer(study.run_files(run), partial(note, "waits", key)):
            if path.exists():
                note("kept", key)
                path.touch()
                continue
            try:
                perform(key, *order)
            except GtaError as error:
                fail(study, run, str(error))
                raise
            source = file_digest(study.weights(run.source))
            finish(study, run, data_digest="staged", source_digest=source)
            study.run_files(run).failure.unlink(missing_ok=True)
            note("trained", key)


def prepare(kind: str, name: str, config: str) -> None:
    """In place of ``gta data prepare`` and ``gta source prepare``."""
    study = Study.load([config])
    if kind == "data":
        write_text(study.store(name) / "store.json", STORE)
    else:
        write_text(study.weights(name), name)
    note("prepared", name)


def staged_torch() -> ModuleType:
    """As much of PyTorch as the command line and the claim of a device use."""
    torch: Any = ModuleType("torch")
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    torch.set_num_threads = lambda threads: None
    torch.cuda = SimpleNamespace(
        device_count=lambda: len(visible),
        get_device_properties=lambda name: SimpleNamespace(
            uuid=f"GPU-{visible[int(name.removeprefix('cuda:'))]}"
        ),
        set_device=lambda name: None,
    )
    return torch


if __name__ == "__main__":
    if sys.argv[1] in ("data", "source"):
        kind, _, name, _, config = sys.argv[1:6]
        prepare(kind, name, config)
        sys.exit()
    if sys.argv[1] == "train":
        training: Any = ModuleType("gta.train")
        training.__path__ = [str(Path(gta.__file__).with_name("train"))]  # for gta.train.claim
        training.train_runs = train_runs
        sys.modules |= {"torch": staged_torch(), "gta.train": training}
    from gta.cli import main

    main()
