"""A short run on this machine: how fast it trains and tests with a study's recipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gta.data.batches.augment import Augmenter, Evaluator, Pixels
from gta.errors import GtaError
from gta.methods import TapRequest, is_head
from gta.models.cls_only import Forward, forward_of
from gta.models.flops import source_flops, training_flops
from gta.models.sources import Prepared
from gta.models.vit import create
from gta.plan.sizes import picture_of
from gta.plan.speed import Speed
from gta.study import Recipe, Run, Study
from gta.train.inputs import SourceWeights
from gta.train.learner import Learner
from gta.train.lockstep import step_alone
from gta.train.precision import arithmetic

# At least, after one that warms up. The fastest counts: what else runs on the machine only adds.
STEPS = 3
SECONDS = 1.0  # at least, for each of what is timed
# On a CPU the batch is no larger than takes about this many operations, a step of some seconds.
CPU_FLOPS = 3e11
NOISE = 16  # images, over and over: what they show takes no time


@dataclass(frozen=True)
class Calibration:
    """Measurements of a short run.

    Attributes:
        speed: of the device, at this recipe.
        batch: images of a step; the recipe's, or fewer where that did not fit.
        wanted: the recipe's.
        threads: of the CPU.
        finetune, gta: training images a second with these methods, without augmentation.
        tested: test images a second.
    """

    speed: Speed
    batch: int
    wanted: int
    threads: int
    finetune: float
    gta: float
    tested: float


def calibrate(study: Study, device: torch.device, classes: int) -> Calibration:
    """Take a few steps of finetune and gta with the study's recipe, on random images and weights.

    The recipe is the one that most of the study's runs have. Where its batch is too much for the
    device a smaller one is taken: time is nearly proportional to the images.

    Args:
        study: the study.
        device: to measure.
        classes: outputs of the head.

    Raises:
        GtaError: if a setting of a method is wrong, or not even one image fits.
    """
    recipe = Counter(study.recipe(run) for run in study.runs).most_common(1)[0][0]
    bench = _Bench(study, recipe, device, classes)
    batch = recipe.batch_size
    if device.type == "cpu":
        batch = min(batch, max(1, int(CPU_FLOPS / (bench.forward + bench.backward))))
    while True:
        try:
            return bench.measure(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise GtaError(f"{device}: too little memory to train on one image") from None
            torch.cuda.empty_cache()
            batch //= 2


class _Bench:
    """A recipe's models on a device, with random weights, and the time that their steps take."""

    def __init__(self, study: Study, recipe: Recipe, device: torch.device, classes: int) -> None:
        self.recipe, self.device, self.classes = recipe, device, classes
        self.methods = {name: study.methods.create(name) for name in ("finetune", "gta")}
        model = create(recipe.architecture, recipe.image_size, classes)
        weights = {k: v for k, v in model.state_dict().items() if not is_head(k)}
        self.source = Prepared(Path("random weights"), "", weights)
        each = training_flops(model, self.methods["finetune"].trains, TapRequest())
        self.forward, self.backward = each.forward, each.backward
        request = self.methods["gta"].source_taps
        assert request is not None
        self.read = source_flops(model, request)
        self.stored = _noise(picture_of(study, study.config.datasets[0]))

    def measure(self, batch: int) -> Calibration:
        """Time everything with batches of this many images."""
        side = self.recipe.image_size
        # more iterations than are timed, all at once, whatever the recipe divides a batch into
        changes = {"batch_size": batch, "micro_batch": None, "iterations": 10**9}
        recipe = self.recipe.model_copy(update=changes)
        images = torch.randn(batch, 3, side, side, device=self.device)
        labels = torch.randint(self.classes, (batch,), device=self.device)
        pixels = [self.stored[i % len(self.stored)] for i in range(batch)]
        augmenter, evaluator = Augmenter(recipe, seed=0), Evaluator(recipe)
        learners = {name: self._learner(name, recipe) for name in self.methods}
        took = {}
        for name, learner in learners.items():
            mixed = learner.mix(images, labels, torch.Generator())
            took[name] = self._seconds(partial(step_alone, learner, mixed))
        finetune, gta = took["finetune"], took["gta"]
        augmented = self._seconds(lambda: augmenter(pixels, 0).to(self.device))
        model = learners["finetune"].model.eval()
        forward = forward_of(model)
        tested = self._seconds(lambda: self._test(forward, evaluator, pixels))
        threads = torch.get_num_threads()
        gpu = self.device.type == "cuda"
        speed = Speed(
            torch.cuda.get_device_name(self.device) if gpu else f"cpu x {threads}",
            self.recipe.precision,
            f"a short run at batch {batch}",
            training=batch * (self.forward + self.backward) / finetune,
            source=batch * self.read / max(gta - finetune, 1e-9),  # noise may turn it
            testing=batch * self.forward / tested,
            augmentation=batch / augmented,
        )
        rates = (batch / seconds for seconds in (finetune, gta, tested))
        return Calibration(speed, batch, self.recipe.batch_size, threads, *rates)

    def _learner(self, name: str, recipe: Recipe) -> Learner:
        method = self.methods[name]
        run = Run("random", 100.0, "random", name, "none", method.default_lam or 0.0, 0)
        source = SourceWeights(self.source, recipe, self.device)
        return Learner(run, recipe, method, self.classes, source, self.device)

    @torch.inference_mode()
    def _test(self, forward: Forward, evaluator: Evaluator, pixels: list[Pixels]) -> None:
        with arithmetic(self.recipe, self.device):
            forward(evaluator(pixels).to(self.device))

    def _seconds(self, work: Callable[[], object]) -> float:
        """Shortest time of a call, once warm."""
        work()
        times: list[float] = []
        while len(times) < STEPS or sum(times) < SECONDS:
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            times.append(time.perf_counter() - start)
        return min(times)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _noise(size: tuple[int, int]) -> list[Pixels]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(NOISE)]
