"""Training images a second, ours against other projects' loops: same model, data, batch, views.

    git clone https://github.com/thuml/Transfer-Learning-Library  /elsewhere/tllib
    git clone https://github.com/facebookresearch/deit            /elsewhere/deit
    pip install prettytable                                       # which TLlib imports
    python -m benchmarks.loops --tllib /elsewhere/tllib --deit /elsewhere/deit > docs/loops.md

A ViT-S/16 at 224 pixels with random weights, 16 images a batch, AdamW, float32. Theirs reads JPEGs
of 500 pixels, ours the store that was prepared of them. One iteration of each in turn; theirs loads
its images in the process itself, for worker processes would go on working in our turns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks.figures import seconds
from benchmarks.inputs import pictures, working_folder, write_jpegs, write_store, write_weights
from benchmarks.machine import cores, describe
from benchmarks.measures.step import STUDY
from gta.data.batches.augment import Augmenter
from gta.data.batches.loader import Loader, loader_workers
from gta.study import Study
from gta.train.inputs import SourceWeights, open_source
from gta.train.learner import Learner
from gta.train.lockstep import step_alone

IMAGES, CLASSES, BATCH = 160, 8, 16
CPU = torch.device("cpu")
Loop = Callable[[], object]
# What TLlib's package imports for other tasks than ours.
STUBS = """numba sklearn sklearn.metrics sklearn.manifold sklearn.covariance sklearn.linear_model
sklearn.cluster sklearn.decomposition sklearn.preprocessing h5py cv2 webcolors qpsolvers"""
VIEWS: dict[str, dict[str, Any]] = {
    "tllib": {"randaugment": None, "scale": [0.2, 1.0], "interpolation": "bilinear"},
    # without deviation of its strength: with one, Pillow refuses what timm now and then asks for
    "deit": {"randaugment": "rand-m9-inc1"},
}
KEYS: dict[str, dict[str, Any]] = {"tllib": {"drop_path": 0.0}, "deit": {"label_smoothing": 0.1}}


def tllib(repository: Path, jpegs: Path) -> Loop:
    """One iteration of ``train`` of its fine-tuning example (erm.py)."""
    import torch.utils.data.dataset as datasets
    import torchvision.models.resnet as resnet

    for name in STUBS.split():
        try:
            __import__(name)
        except ImportError:
            sys.modules[name] = MagicMock()
    # names that it imports, and torch and torchvision no longer have
    vars(datasets).setdefault("T_co", Any)
    vars(resnet).setdefault("model_urls", {})
    sys.path[:0] = map(
        str, [repository, repository / "examples/task_adaptation/image_classification"]
    )
    import erm  # type: ignore[import-not-found]
    import utils  # type: ignore[import-not-found]

    backbone: Any = timm.create_model("vit_small_patch16_224", num_classes=0)
    backbone.out_features = backbone.num_features
    model = erm.Classifier(backbone, CLASSES, pool_layer=torch.nn.Identity())
    optimiser = torch.optim.AdamW(model.get_parameters(1e-5), lr=1e-5, weight_decay=0.05)
    files = ImageFolder(str(jpegs), utils.get_train_transform("default", True, False))
    batches = erm.ForeverDataIterator(DataLoader(files, BATCH, shuffle=True, drop_last=True))
    settings = argparse.Namespace(iters_per_epoch=1, print_freq=100)
    return lambda: erm.train(batches, model, optimiser, 0, settings)


def deit(repository: Path, jpegs: Path) -> Loop:
    """One iteration of ``train_one_epoch`` (engine.py), as main.py calls it."""
    from timm.data import create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.utils import NativeScaler

    sys.path.insert(0, str(repository))
    from engine import train_one_epoch  # type: ignore[import-not-found]
    from losses import DistillationLoss  # type: ignore[import-not-found]

    torch.cuda.synchronize = lambda *_: None  # which it calls without a GPU too
    policy = VIEWS["deit"]["randaugment"]
    transform = create_transform(
        224, is_training=True, color_jitter=0.0, auto_augment=policy, interpolation="bicubic"
    )
    model = timm.create_model("vit_small_patch16_224", num_classes=CLASSES, drop_path_rate=0.1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05)
    loss = DistillationLoss(LabelSmoothingCrossEntropy(0.1), None, "none", 0.5, 1.0)
    loader = DataLoader(ImageFolder(str(jpegs), transform), BATCH, shuffle=True, drop_last=True)
    settings, scaler = argparse.Namespace(cosub=False, bce_loss=False), NativeScaler()

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()
    return lambda: train_one_epoch(
        model, loss, [next(batches)], optimiser, CPU, 0, scaler, 0, None, None, True, settings
    )


def ours(who: str, folder: Path) -> Loop:
    """One iteration of fine-tuning with the views of another loop."""
    augment = {"crop": "random_resized_crop", "flip": 0.5} | VIEWS[who]
    recipe = STUDY["recipe"] | {"augment": augment, "batch_size": BATCH} | KEYS[who]
    study = Study(STUDY | {"recipe": recipe})
    write_weights(study)
    run = next(run for run in study.runs if run.method == "finetune")
    source = SourceWeights(open_source(study, run.source), study.recipe(run), CPU)
    learner = Learner.of(study, run, CLASSES, source, CPU)
    images = pictures(IMAGES, 500)
    store = write_store(images, folder / "images", CLASSES, ["train"] * IMAGES, 320)
    write_jpegs(images, folder / "jpegs", CLASSES)
    augmenter, (threads, ahead) = Augmenter(learner.recipe, seed=0), loader_workers(CPU)
    loader = Loader(store, np.arange(IMAGES), augmenter, BATCH, threads, ahead)

    def iteration() -> None:
        batch = loader.batch(learner.iteration)
        step_alone(learner, learner.mix(*batch, torch.Generator().manual_seed(0)))

    return iteration


def row(who: str, repository: Path, pairs: int) -> str:
    """A line of the page: both loops in this process, in turn."""
    torch.set_num_threads(cores())
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as name, working_folder(Path(name), GTA_STORE="store") as folder:
        first = ours(who, folder)
        second = {"tllib": tllib, "deit": deit}[who](repository, folder / "jpegs")
        took = []
        with contextlib.redirect_stdout(io.StringIO()):
            for number in range(pairs + 1):  # the first is no measurement
                order = (first, second) if number % 2 else (second, first)
                spent = {loop: seconds(loop) for loop in order}
                took.append((spent[first], spent[second]))
    here, there = (BATCH / median(times) for times in zip(*took[1:], strict=True))
    ratios = [theirs / own for own, theirs in took[1:]]
    low, _, high = quantiles(ratios, n=4)
    head = ["git", "-C", str(repository), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    ratio = f"{median(ratios):.2f} | {low:.2f} to {high:.2f} | {pairs}"
    return f"| {who} {commit} | {here:.2f} | {there:.2f} | {ratio} |"


def main() -> None:
    """Print the page, each comparison in a process of its own: their modules share names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops", description=__doc__)
    parser.add_argument("--tllib", type=Path, help="a clone of the Transfer-Learning-Library")
    parser.add_argument("--deit", type=Path, help="a clone of DeiT")
    parser.add_argument("--pairs", type=int, default=14)
    parser.add_argument("--row", choices=VIEWS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    there = {who: path for who in VIEWS if (path := getattr(given, who)) is not None}
    if given.row:
        print(row(given.row, there[given.row].resolve(), given.pairs))
        return
    if not there:
        parser.error("name a clone: --tllib PATH, --deit PATH")
    title, commands, paragraph = (__doc__ or "").strip().split("\n\n")
    commands = "\n".join(line.strip() for line in commands.splitlines())
    print(f"# {title.rstrip('.')}\n\n```\n{commands}\n```\n\n{paragraph}\n")
    print("| loop | ours, images/s | theirs | ours / theirs, median | quartiles | pairs |")
    print("|---|---|---|---|---|---|")
    for who, path in there.items():
        command = [sys.executable, "-m", "benchmarks.loops", "--row", who, f"--{who}", str(path)]
        print(
            subprocess.run(
                [*command, "--pairs", str(given.pairs)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout.splitlines()[-1],
            flush=True,
        )
    print(f"\nMachine: {'; '.join(f'{name} {value}' for name, value in describe().items())}.")


if __name__ == "__main__":
    main()
