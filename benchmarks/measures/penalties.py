"""What each method's step costs beside fine-tuning's: the embedded study's ViT, one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks.figures import Figure, in_turn
from benchmarks.inputs import working_folder, write_weights
from gta.methods import METHODS
from gta.study import Run, Study
from gta.train.inputs import SourceWeights, open_source
from gta.train.learner import Learner
from gta.train.lockstep import step_alone

REPEATS = 5
EACH_PROCESSOR = True
STEPS, CLASSES = 3, 10
CPU = torch.device("cpu")
BASELINE = "finetune"
GOALS = {"gta": 1.4}


def measure(repeats: int) -> list[Figure]:
    """Steps on one batch of noise: the source's forward pass, where a method reads it, is in."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store"):
        study = Study.load(["config/mini.yaml"])
        write_weights(study)
        steps = {name: _steps(study, name) for name in METHODS}
        return [_row(name, steps, repeats) for name in METHODS if name != BASELINE]


def _row(name: str, steps: dict[str, Callable[[], None]], repeats: int) -> Figure:
    pairs = in_turn(steps[name], steps[BASELINE], repeats, time.process_time)
    own, other = (1000 * median(seconds) / STEPS for seconds in zip(*pairs, strict=True))
    return Figure(
        f"step_{name}",
        f"{METHODS[name].title} step / finetune step, mini, one core",
        tuple(first / second for first, second in pairs),
        GOALS.get(name),
        detail=f"{own:.1f} ms / {other:.1f} ms",
    )


def _steps(study: Study, name: str) -> Callable[[], None]:
    source = study.config.sources["main"]
    method = study.methods.create(name)
    run = Run("mini_near", 100.0, source, name, "none", method.default_lam or 0.0, 0)
    recipe = study.config.recipe.model_copy(update={"iterations": 10**6})
    weights = SourceWeights(open_source(study, source), recipe, CPU)
    learner = Learner(run, recipe, method, CLASSES, weights, CPU)
    generator = torch.Generator().manual_seed(0)
    size = (recipe.batch_size, 3, recipe.image_size, recipe.image_size)
    images = torch.randn(size, generator=generator)
    labels = torch.randint(CLASSES, size[:1], generator=generator)
    mixed = learner.mix(images, labels, generator)

    def work() -> None:
        for _ in range(STEPS):
            step_alone(learner, mixed)

    return work
