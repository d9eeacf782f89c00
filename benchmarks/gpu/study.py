"""Whole studies on one GPU without Snakemake: data, learning rates, training, tables, figures.

    python -m benchmarks.gpu.study --study config/flowers.yaml --workers 20 --out out
    python -m benchmarks.gpu.study --study config/flowers.yaml --tries config/flowers-lr.yaml
        --lr 1e-5 3e-5 1e-4 3e-4

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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from docs.make import learning_rates
from gta.errors import GtaError
from gta.study import Run, Study

Files = tuple[Path, ...]  # a study's config and its overlays
CONFIGS = Path("build/configs")  # written here


class OverError(BaseException):
    """The time that the studies were given is over; it is not an error of a run."""


def begin(threads: int, device: str) -> None:
    """Set up a process that trains: what CUDA takes seconds for is done beside other work."""
    import torch

    torch.set_num_threads(threads)
    torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device)).sum().item()


@cache
def load(files: Files) -> Study:
    """A study, read once a process."""
    return Study.load(files)


def train(files: Files, names: Sequence[str], device: str, until: float) -> None:
    """Train some runs of a study, those of a pack in lockstep, unless the time is over."""
    from gta.train import train_runs

    def progress(_: Run, __: int, ___: int) -> None:
        if time.time() > until:
            raise OverError

    if time.time() < until:
        study = load(files)
        try:
            train_runs(study, [study.find(name) for name in names], device, progress)
        except (GtaError, OverError) as error:
            print(f"error: {study.name}: {str(error) or 'no time was left'}", flush=True)


def jobs_of(study: Study, most: int) -> list[list[str]]:
    """Names of a study's runs, job by job: packs, divided into at most ``most`` runs each.

    The longest come first, then those of the first seeds, so that whole seeds are done where the
    time does not suffice for all.
    """
    jobs = []
    for pack in study.packs:
        runs = sorted(pack.runs, key=lambda run: (study.recipe(run).iterations, run.method))
        size = ceil(len(runs) / ceil(len(runs) / most))
        jobs += [runs[at : at + size] for at in range(0, len(runs), size)]
    jobs.sort(key=lambda runs: (-sum(study.recipe(run).iterations for run in runs), runs[0].seed))
    return [[run.name for run in runs] for runs in jobs]


class Pool:
    """Processes that train on one device, side by side.

    Attributes:
        ready: done when the processes have begun.
    """

    def __init__(self, workers: int, most: int, device: str, until: float) -> None:
        """Start the processes.

        Args:
            workers: number of processes.
            most: runs of a job, at most.
            device: where they train.
            until: when they stop, in ``time.time()``.
        """
        # the server has imported everything, and its children begin with that
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gta.train", "timm.models.vision_transformer"])
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
        self._pool = ProcessPoolExecutor(workers, context, begin, (threads, device))
        self.ready = [self._pool.submit(os.getpid) for _ in range(workers)]
        self._most, self._device, self._until = most, device, until

    def submit(self, studies: Iterable[Files]) -> list[Future[None]]:
        """Begin all runs of some studies."""
        return [
            self._pool.submit(train, files, names, self._device, self._until)
            for files in studies
            for names in jobs_of(load(files), self._most)
        ]

    def close(self) -> None:
        """End the processes once they have done what was submitted."""
        self._pool.shutdown()


def finished(jobs: Sequence[Future[Any]], what: str) -> None:
    """Wait for jobs; say what failed by an error of the program, and how long it took."""
    start = time.monotonic()
    wait(jobs)
    for error in filter(None, (job.exception() for job in jobs)):
        traceback.print_exception(error, file=sys.stdout)
    print(f"{what}: {len(jobs)} jobs, {time.monotonic() - start:.0f} s", flush=True)


def call(*arguments: str) -> bool:
    """A command of `gta`; whether it succeeded."""
    from gta.cli import main

    start = time.monotonic()
    try:
        main(arguments)
        status: Any = 0
    except SystemExit as ended:
        status = ended.code or 0
    except Exception:  # the commands that follow are still of use
        traceback.print_exc()
        status = 1
    print(f"gta {arguments[0]}: {status or 'done'}, {time.monotonic() - start:.1f} s", flush=True)
    return not status


def options(files: Files) -> list[str]:
    """The options of `gta` that name a study."""
    return [word for file in files for word in ("--config", str(file))]


def tries(files: Files, overlay: Path, rates: Sequence[str], folder: Path) -> list[Files]:
    """Studies ``<name>-lr-<rate>``, each with one learning rate; writes their overlays."""
    name, studies = load(files).name, []
    for rate in rates:
        own = folder / f"{name}-lr-{rate}.yaml"
        content = {"study": f"{name}-lr-{rate}", "recipe": {"lr": float(rate)}}
        own.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        studies.append((*files, overlay, own))
    return studies


def chosen(files: Files, tried: Sequence[Files], folder: Path) -> Files:
    """The study with the learning rates that are best on held-out images; writes its config.

    Raises:
        GtaError: if no rate was tried to its end.
    """
    for each in tried:
        call("collect", *options(each))
    study = load(files)
    table = learning_rates.tried(study.name)
    choice = learning_rates.keys(learning_rates.choose(table))
    print(f"{table.to_string(index=False)}\n{choice}", flush=True)
    own = folder / f"{study.name}.yaml"
    content = study.content_for(own)
    content |= choice | {"recipe": content["recipe"] | choice["recipe"]}
    own.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return (own,)


def prepare(files: Files) -> None:
    """Prepare a study's data and sources."""
    study = load(files)
    call("data", "prepare", *study.config.datasets, *options(files))
    for source in dict.fromkeys(study.config.sources.values()):
        call("source", "prepare", source, *options(files))


def finish(files: Files, device: str, out: Path | None) -> None:
    """Tables and figures of a study, and ``<name>.tar.gz`` of it and its learning rates."""
    study, configs = load(files), options(files)
    done = sum(study.run_files(run).metrics.exists() for run in study.runs)
    print(f"{study.name}: {done} of {len(study.runs)} runs are done", flush=True)
    call("collect", *configs)
    pack(study, out)  # whatever happens to the rest
    if any(spec.kind == "segmentation" for spec in study.tables.values()):
        call("segmentation", *configs, "--device", device)
    call("table", *study.tables, "--write", *configs)
    for figure in study.figures:
        call("figure", figure, *configs)
    pack(study, out)


def pack(study: Study, out: Path | None) -> None:
    """Write an archive of a study's results, its learning rates and configs, without models."""
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    folders = [study.folder, *sorted(study.folder.parent.glob(f"{study.name}-lr-*"))]
    with tarfile.open(out / f"{study.name}.tar.gz", "w:gz") as archive:
        for folder in folders:
            for path in members(folder):
                archive.add(path, path.relative_to(study.folder.parent))
        for path in sorted(CONFIGS.glob(f"{study.name}*.yaml")):
            archive.add(path, Path(CONFIGS.name) / path.name)


def members(folder: Path) -> Iterator[Path]:
    """All files of a study's results but its models and checkpoints."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and inside[0] != "models" and path.suffix not in (".pt", ".safetensors"):
            yield path


def run(given: argparse.Namespace, until: float) -> None:
    """All studies one after the other; one is finished while the next one's rates are tried."""
    CONFIGS.mkdir(parents=True, exist_ok=True)
    studies: list[Files] = [tuple(map(Path, files)) for files in given.study]
    pool = Pool(given.workers, given.runs, given.device, until)
    for files in studies:
        prepare(files)
    finished(pool.ready, "start of the processes")
    before: Files | None = None
    for files, overlay in zip(studies, given.tries or [None] * len(studies), strict=True):
        name = load(files).name
        tried = tries(files, Path(overlay), given.lr, CONFIGS) if overlay else []
        jobs = pool.submit(tried)
        if before is not None:
            finish(before, given.device, given.out)
        before = None
        finished(jobs, f"{name}, learning rates")
        try:
            files = chosen(files, tried, CONFIGS) if tried else files
        except GtaError as error:
            print(f"error: {error}", flush=True)
            continue
        finished(pool.submit([files]), name)
        before = files
    pool.close()
    if before is not None:
        finish(before, given.device, given.out)


def main() -> None:
    """Run the studies that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.study", description=__doc__)
    words: dict[str, Any] = {"action": "append", "metavar": "FILE"}
    parser.add_argument(
        "--study",
        required=True,
        nargs="+",
        help="a config and its overlays; may be repeated",
        **words,
    )
    parser.add_argument("--tries", help="overlay to try learning rates, for each study", **words)
    parser.add_argument("--lr", nargs="+", default=[], help="learning rates to try")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=12, help="processes that train")
    parser.add_argument("--runs", type=int, default=4, help="most runs of a job")
    parser.add_argument("--seconds", type=float, default=86400, help="training stops after these")
    parser.add_argument("--out", type=Path, help="folder for <study>.tar.gz")
    given = parser.parse_args()
    start = time.time()
    run(given, start + given.seconds)
    print(f"all: {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
