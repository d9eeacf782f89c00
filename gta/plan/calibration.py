"""A short run on this machine: how fast it does what a study's training does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gta import methods
from gta.data.batches.augment import Augmenter, Evaluator, Pixels
from gta.errors import GtaError
from gta.methods import Method, Step
from gta.methods.readings import Readings
from gta.models.flops import source_flops, training_flops
from gta.models.taps import Taps, read_source
from gta.models.vit import create
from gta.plan.sizes import picture_of
from gta.plan.speed import Speed
from gta.study import Recipe, Study

# At least, after one that warms up. The fastest counts: what else runs on the machine only adds.
STEPS = 3
SECONDS = 1.0  # at least, for each of what is timed
# On a CPU the batch is no larger than takes about this many operations, a step of some seconds.
CPU_FLOPS = 3e11
NOISE = 16  # images, over and over: what they show takes no time


@dataclass(frozen=True)
class Calibration:
    """What a short run found.

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
    """A recipe's models on a device, and what is timed of them."""

    def __init__(self, study: Study, recipe: Recipe, device: torch.device, classes: int) -> None:
        self.recipe, self.device = recipe, device
        self.finetune = methods.create("finetune")
        self.gta = study.methods.create("gta")
        self.model = create(recipe.architecture, recipe.image_size, classes, recipe.drop_path)
        self.model.to(device)
        self.source = create(recipe.architecture, recipe.image_size, num_classes=0)
        self.source.load_state_dict(self.model.state_dict(), strict=False)  # all but the head
        self.source.to(device).eval().requires_grad_(False)
        self.anchors = dict(self.source.named_parameters())
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        each = training_flops(self.model, self.finetune.trains)
        self.forward, self.backward = each.forward, each.backward
        assert self.gta.source_taps is not None
        self.read = source_flops(self.model, self.gta.source_taps)
        self.stored = _noise(picture_of(study, study.config.datasets[0]))

    def measure(self, batch: int) -> Calibration:
        """Time everything with batches of this many images."""
        side = self.recipe.image_size
        images = torch.randn(batch, 3, side, side, device=self.device)
        labels = torch.randint(self.model.num_classes, (batch,), device=self.device)
        pixels = [self.stored[i % len(self.stored)] for i in range(batch)]
        augmenter, evaluator = Augmenter(self.recipe, seed=0), Evaluator(self.recipe)
        self.model.train()
        finetune = self._seconds(lambda: self._step(self.finetune, images, labels))
        gta = self._seconds(lambda: self._step(self.gta, images, labels))
        augmented = self._seconds(lambda: augmenter(pixels, 0).to(self.device))
        self.model.eval()
        tested = self._seconds(lambda: self._test(evaluator, pixels))
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

    def _step(self, method: Method, images: Tensor, labels: Tensor) -> None:
        source: Readings | None = None
        taps = Taps(self.model, method.taps) if method.taps is not None else None
        with self._autocast(), taps or nullcontext():
            logits = self.model(images)
            target = taps.take() if taps is not None else Readings()
            if method.source_taps is not None:
                source = read_source(self.source, images, method.source_taps)
        loss = F.cross_entropy(logits.float(), labels)
        terms = method.penalty(Step(self.model, target, source, self.anchors), lam=1.0)
        loss = torch.stack([loss, *terms.values()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    @torch.inference_mode()
    def _test(self, evaluator: Evaluator, pixels: list[Pixels]) -> None:
        self.model(evaluator(pixels).to(self.device))

    def _autocast(self) -> torch.autocast:
        half = self.recipe.precision != "float32"
        dtype = getattr(torch, self.recipe.precision) if half else None
        return torch.autocast(self.device.type, dtype=dtype, enabled=half)

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
