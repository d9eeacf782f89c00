"""A whole study on one GPU without Snakemake: data, training by several processes, tables, figures.

    python -m benchmarks.gpu.study --config config/flowers.yaml --workers 12 --seconds 300

Snakemake does the same where it is installed, with ``GTA_RUNS_PER_DEVICE`` for the processes. A run
whose results are valid is left alone, so that the command resumes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tarfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

from gta.errors import GtaError
from gta.study import Study

Job = list[str]  # names of runs


def jobs_of(study: Study, most: int) -> list[Job]:
    """The study's packs, divided into jobs of at most so many runs, the longest first."""
    jobs = []
    for pack in study.packs:
        runs = sorted(pack.runs, key=lambda run: (study.recipe(run).iterations, run.method))
        jobs += [runs[at : at + most] for at in range(0, len(runs), most)]
    jobs.sort(key=lambda runs: -sum(study.recipe(run).iterations for run in runs))
    return [[run.name for run in runs] for runs in jobs]


def work(configs: Sequence[str], device: str, threads: int, until: float, jobs: Any) -> None:
    """Train jobs from a queue until it is empty or the time is over, in a process of its own."""
    import torch

    from gta.train import train_runs

    torch.set_num_threads(threads)
    study = Study.load([Path(config) for config in configs])
    while time.time() < until:
        try:
            names = jobs.get(timeout=1)
        except Empty:
            return
        try:
            train_runs(study, [study.find(name) for name in names], device)
        except GtaError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)


def train(study: Study, given: argparse.Namespace, until: float) -> None:
    """Train all runs by workers that share the device."""
    # the server has imported everything, and its children begin with that
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gta.train", "timm.models.vision_transformer"])
    jobs = context.Queue()
    for job in jobs_of(study, given.runs):
        jobs.put(job)
    threads = max(1, len(os.sched_getaffinity(0)) // given.workers)
    arguments = (given.config, given.device, threads, until, jobs)
    workers = [context.Process(target=work, args=arguments) for _ in range(given.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(1.0, until + given.grace - time.time()))
    for worker in workers:
        worker.terminate()  # a checkpoint is written
    for worker in workers:
        worker.join(20)
        worker.kill()


def call(*arguments: str) -> bool:
    """A command of `gta`; whether it succeeded."""
    from gta.cli import main

    begin = time.monotonic()
    try:
        main(arguments)
        status: Any = 0
    except SystemExit as ended:
        status = ended.code or 0
    except Exception:  # the commands that follow are still of use
        traceback.print_exc()
        status = 1
    print(f"gta {arguments[0]}: {status or 'done'}, {time.monotonic() - begin:.1f} s", flush=True)
    return not status


def members(folder: Path) -> Iterator[Path]:
    """All files of a study's results but its models and checkpoints."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and inside[0] != "models" and path.suffix not in (".pt", ".safetensors"):
            yield path


def main() -> None:
    """Run the study, and pack what it leaves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.study", description=__doc__)
    parser.add_argument("--config", action="append", required=True, help="may be repeated")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=8, help="processes that train")
    parser.add_argument("--runs", type=int, default=4, help="most runs of a job")
    parser.add_argument("--seconds", type=float, default=86400, help="no job begins after these")
    parser.add_argument("--grace", type=float, default=30, help="seconds that a job may end in")
    parser.add_argument("--out", type=Path, help="folder for <study>.tar.gz: results, no models")
    given = parser.parse_args()
    begin = time.time()
    study = Study.load([Path(config) for config in given.config])
    configs = [word for config in given.config for word in ("--config", config)]
    call("data", "prepare", *study.config.datasets, *configs)
    for source in dict.fromkeys(study.config.sources.values()):
        call("source", "prepare", source, *configs)
    prepared = time.time()
    print(f"{len(study.runs)} runs, {given.workers} workers", flush=True)
    train(study, given, begin + given.seconds)
    print(f"prepared in {prepared - begin:.0f} s, trained in {time.time() - prepared:.0f} s")
    done = sum(study.path("metrics", run).exists() for run in study.runs)
    print(f"{done} of {len(study.runs)} runs are done", flush=True)
    call("collect", *configs)
    if any(spec.kind == "segmentation" for spec in study.tables.values()):
        call("segmentation", *configs, "--device", given.device)
    call("table", *study.config.tables, "--write", *configs)
    for figure in study.config.figures:
        call("figure", figure, *configs)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        with tarfile.open(given.out / f"{study.name}.tar.gz", "w:gz") as archive:
            for path in members(study.folder):
                archive.add(path, path.relative_to(study.folder.parent))


if __name__ == "__main__":
    main()
