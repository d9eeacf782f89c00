"""Run a trial in this process: check, estimate, train, and gather what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from gta import figures, outputs, page, results, tables
from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.prepare import prepare
from gta.data.store import Store
from gta.errors import GtaError
from gta.interface import StudyResults
from gta.models.originals import prepare_source
from gta.models.trained import load_pretrained
from gta.plan import calibrate
from gta.study import Run, Study
from gta.study.credentials import write_config
from gta.train import train_runs
from gta.train.device import pick_device

SPLITS = ("train", "heldout", "test")


@dataclass(frozen=True)
class Trial:
    """A study that is ready to be trained.

    Attributes:
        study: the study.
        dataset: its prepared dataset.
    """

    study: Study
    dataset: Store


@dataclass(frozen=True)
class Finding:
    """Outcome of a method.

    Attributes:
        method: name.
        lam: the λ chosen on held-out images; 0 without a penalty.
        accuracy, deviation: mean and standard deviation of the test accuracy over seeds, percent.
        gain, low, high: over fine-tuning in points, with its 95 % interval; None for fine-tuning.
    """

    method: str
    lam: float
    accuracy: float
    deviation: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def check(
    config: Path,
    root: Path,
    images: Callable[[int, int], None] | None = None,
    fetched: Callable[[int, int | None], None] | None = None,
) -> Trial:
    """Prepare dataset and source, and pass one image of each split through view and model.

    What would fail at a test pass after training fails here.

    Args:
        config: the study's file.
        root: the project's folder.
        images: called with images prepared and in all.
        fetched: called with bytes of the source fetched and in all.

    Raises:
        GtaError: if an image, the source or a setting does not fit.
    """
    study = Study.load([config], root)
    write_config(study, study.folder / "config.yaml")
    (name,) = study.config.datasets
    source = study.config.sources["main"]
    dataset = prepare(study, name, images)
    if not study.weights(source).exists():
        prepare_source(study, source, fetched)
    recipe = study.recipe(study.runs[0])
    model, view = load_pretrained(study.weights(source), recipe), Evaluator(recipe)
    for split in SPLITS:
        for position in dataset.indices(split)[:1].tolist():
            with torch.inference_mode():
                model(view([dataset.image(position)]))
            Augmenter(recipe, seed=0)([dataset.image(position)], 0)
    return Trial(study, dataset)


def estimate(trial: Trial, device: str) -> float:
    """Seconds that training will take, by a few steps on this device."""
    study = trial.study
    speed = calibrate(study, pick_device(device), len(trial.dataset.classes))
    seconds = 0.0
    tested = len(trial.dataset) - len(trial.dataset.indices("train"))
    for run in study.runs:
        recipe = study.recipe(run)
        rate = speed.gta if study.methods[run.method].grid else speed.finetune
        seconds += recipe.iterations * recipe.batch_size / rate + tested / speed.tested
    return seconds


def train(
    trial: Trial, device: str, progress: Callable[[str, int, int], None] | None = None
) -> tuple[list[Finding], StudyResults]:
    """Train the runs that are not done, and write tables, figures and the results page.

    Args:
        trial: as ``check`` gives it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: called with a run's title, and iterations of all runs done and in all.

    Raises:
        GtaError: if a run failed.
    """
    study = trial.study
    total = sum(study.recipe(run).iterations for run in study.runs)
    done: dict[Run, int] = {}

    def count(run: Run, iteration: int, iterations: int) -> None:
        done[run] = iteration
        if progress is not None:
            progress(study.title(run), sum(done.values()), total)

    for pack in study.packs:
        train_runs(study, pack.runs, device, count)
    outputs.collect(study)
    metrics = results.read_collected(study)
    kept = tables.read_intervals(study)
    tables.write_intervals(study, tables.compute_intervals(study, metrics, kept))
    collected = tables.read_all(study)
    for name in study.tables:
        tables.write(study, *tables.make(study, name, collected))
    for name in study.figures:
        figures.write(study, name, figures.draw(study, name, collected))
    page.write(study)
    opened = StudyResults(study)
    return _findings(opened), opened


def _findings(opened: StudyResults) -> list[Finding]:
    found = []
    for method in opened.methods:
        (row,) = opened.best("heldout", method=method).to_dict("records")
        values = float(row["lam"]), float(row["acc1_mean"]), float(row["acc1_std"])
        if method == "finetune":
            found.append(Finding(method, *values))
            continue
        gain = opened.gain(method)
        if gain.empty:
            raise GtaError(f"{method}: has no gain over fine-tuning; a run is missing")
        ends = gain[["gain", "low", "high"]].iloc[0].tolist()
        found.append(Finding(method, *values, *ends))
    return found
