"""Other projects' training loops on the same model, batch and data, in mixed precision.

``deit`` is ``train_one_epoch`` of a clone's engine.py. ``timm`` takes the steps of
``train_one_epoch`` in timm's train.py, which is no part of its package, with timm's own loader,
loss and scaler. Both read the loss and wait for the device in each step, as those do. Each is fed
in two ways: from memory, which costs it nothing but the copy to the device, and from JPEGs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.jobs import free_memory
from benchmarks.gpu.scale import CLASSES, Data, Scale
from benchmarks.machine import cores

Batches = Iterator[tuple[Tensor, Tensor]]
WARM = 3
# without deviation of its strength: with one, Pillow refuses what timm now and then asks for
POLICY = "rand-m9-inc1"


def measure(
    who: str, feed: str, data: Data, device: str, seconds: float, clone: Path | None
) -> dict[str, Any]:
    """Time a loop.

    Args:
        who: ``deit`` or ``timm``.
        feed: ``memory`` or ``jpegs``.
        data: the images.
        device: where to train.
        seconds: to time.
        clone: of DeiT, which ``deit`` needs.
    """
    free_memory(device)
    warnings.simplefilter("ignore")
    make_loop = {"deit": deit, "timm": timm_loop}[who]
    loop = make_loop(data.scale, device, clone)
    feeds = {"memory": in_memory, "jpegs": from_jpegs}
    batches = feeds[feed](data, device, who)
    with contextlib.redirect_stdout(io.StringIO()):  # DeiT's reports every epoch
        loop(islice(batches, WARM))
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            loop(islice(batches, 2))
            steps += 2
        took = time.perf_counter() - begin
    return {"images_per_second": steps * data.scale.batch / took, "iterations": steps}


def deit(scale: Scale, device: str, clone: Path | None) -> Callable[[Iterable[Any]], object]:
    """``train_one_epoch`` of engine.py, as main.py calls it for fine-tuning."""
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.utils import NativeScaler

    if clone is None:
        raise LookupError("name a clone of DeiT with --deit")
    sys.path.insert(0, str(clone))
    from engine import train_one_epoch  # type: ignore[import-not-found]
    from losses import DistillationLoss  # type: ignore[import-not-found]

    model, optimiser = model_and_optimiser(scale, device)
    loss = DistillationLoss(LabelSmoothingCrossEntropy(0.1), None, "none", 0.5, 1.0)
    settings, scaler = argparse.Namespace(cosub=False, bce_loss=False), NativeScaler()
    if not device.startswith("cuda"):
        torch.cuda.synchronize = lambda *_: None  # which it calls without a GPU too

    def loop(batches: Iterable[Any]) -> object:
        where, some = torch.device(device), _Sized(batches)
        return train_one_epoch(
            model, loss, some, optimiser, where, 0, scaler, None, None, None, True, settings
        )

    return loop


class _Sized:
    """An iterable with the length that DeiT's progress report asks for."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)

    def __len__(self) -> int:
        return 1


def timm_loop(scale: Scale, device: str, _: Path | None) -> Callable[[Iterable[Any]], object]:
    """The steps of timm's train.py with ``--amp``."""
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.utils import NativeScaler

    model, optimiser = model_and_optimiser(scale, device)
    loss_of, scaler = LabelSmoothingCrossEntropy(0.1), NativeScaler()
    kind = device.split(":")[0]

    def loop(batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        model.train()
        for images, labels in batches:
            with torch.autocast(kind, dtype=torch.float16 if kind == "cuda" else torch.bfloat16):
                loss = loss_of(model(images), labels)
            loss.item()
            optimiser.zero_grad()
            scaler(loss, optimiser, parameters=model.parameters())
            if kind == "cuda":
                torch.cuda.synchronize()

    return loop


def model_and_optimiser(scale: Scale, device: str) -> tuple[Any, torch.optim.Optimizer]:
    """A ViT with stochastic depth, and the AdamW of timm."""
    from timm.optim import create_optimizer_v2

    from gta.models.vit import create

    model = create(scale.architecture, scale.side, CLASSES, 0.1).to(device)
    return model, create_optimizer_v2(model, opt="adamw", lr=1e-6, weight_decay=0.05)


def in_memory(data: Data, device: str, who: str) -> Batches:
    """Random batches: DeiT's in pinned memory, timm's on the device, where its loader puts them."""
    scale, cuda = data.scale, device.startswith("cuda")
    made = []
    for _ in range(2):
        images = torch.randn(scale.batch, 3, scale.side, scale.side)
        labels = torch.randint(CLASSES, (scale.batch,))
        if who == "timm":
            made.append((images.to(device), labels.to(device)))
        else:
            made.append((images.pin_memory(), labels.pin_memory()) if cuda else (images, labels))
    while True:
        yield from made


def from_jpegs(data: Data, device: str, who: str) -> Batches:
    """JPEGs through timm's transforms and as many worker processes as there are cores."""
    from timm.data import create_loader, create_transform
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    scale, workers = data.scale, cores()
    folder = str(data.jpegs(4 * scale.batch))
    if who == "timm":
        loader: Any = create_loader(
            ImageFolder(folder),
            input_size=(3, scale.side, scale.side),
            batch_size=scale.batch,
            is_training=True,
            color_jitter=0.0,
            auto_augment=POLICY,
            interpolation="bicubic",
            num_workers=workers,
            use_prefetcher=device.startswith("cuda"),
        )
    else:
        transform = create_transform(
            scale.side,
            is_training=True,
            color_jitter=0.0,
            auto_augment=POLICY,
            interpolation="bicubic",
        )
        loader = DataLoader(
            ImageFolder(folder, transform),
            scale.batch,
            shuffle=True,
            num_workers=workers,
            pin_memory=device.startswith("cuda"),
            drop_last=True,
            persistent_workers=True,
        )
    while True:
        yield from loader
