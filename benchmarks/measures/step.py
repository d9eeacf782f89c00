"""A GTA step against a fine-tuning step: ViT-S/16, 224 pixels, batch 8, float32, all cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.figures import Figure, in_turn
from benchmarks.inputs import working_folder, write_weights
from benchmarks.machine import cores
from gta.study import Study
from gta.train.inputs import SourceWeights, open_source
from gta.train.learner import Learner
from gta.train.lockstep import step_alone

REPEATS = 5
BATCH, CLASSES, SIDE = 8, 100, 224
STUDY: dict[str, Any] = {
    "study": "bench",
    "datasets": ["mini_near"],
    "rates": [100],
    "seeds": [0],
    "sources": {"main": "ibot"},
    "methods": {"gta": {"grid": [0.01], "reduction": "sum"}},
    "recipe": {
        "architecture": "vit_small_patch16_224",
        "image_size": SIDE,
        "batch_size": BATCH,
        "iterations": 10_000,
        "lr": 1e-5,
        "drop_path": 0.1,
    },
    "tables": ["table2"],
}


def measure(repeats: int) -> list[Figure]:
    """Steps on one batch of noise, without reading images; the source's pass is GTA's."""
    torch.set_num_threads(cores())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store"):
        study = Study(STUDY)
        write_weights(study)
        prepared = open_source(study, study.config.sources["main"])
        source = SourceWeights(prepared, study.config.recipe, device)
        steps = {
            run.method: _step(Learner.of(study, run, CLASSES, source, device))
            for run in study.runs
            if run.method in ("finetune", "gta")
        }
        pairs = in_turn(steps["gta"], steps["finetune"], repeats)
    gta, finetune = (median(seconds) for seconds in zip(*pairs, strict=True))
    return [
        Figure(
            "gta_step",
            f"GTA step / finetune step, ViT-S/16 at {SIDE}, batch {BATCH}, float32, {device.type}",
            tuple(first / second for first, second in pairs),
            goal=1.34,
            detail=f"{gta:.2f} s / {finetune:.2f} s on {cores()} cores",
        )
    ]


def _step(learner: Learner) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator).to(learner.device)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator).to(learner.device)
    mixed = learner.mix(images, labels, generator)
    return partial(step_alone, learner, mixed)
