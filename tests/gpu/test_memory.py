"""Memory that does not suffice, and batches that travel beside the computation."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from gta import results
from gta.data.batches.augment import Augmenter
from gta.data.batches.loader import Loader
from gta.data.store import Item, write
from gta.study import Recipe
from gta.train import train_runs
from tests.train.runs import run_of

pytestmark = pytest.mark.gpu

BATCH = 3072  # some gigabytes of activations, even of a tiny model


def empty_cache() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def test_a_batch_that_does_not_fit_is_halved_until_it_does(make_study, capfd):
    recipe = {
        "image_size": 48,
        "batch_size": BATCH,
        "iterations": 3,
        "micro_batch": "auto",
        "augment": {"crop": "none"},
    }
    histories = []
    total = torch.cuda.get_device_properties(0).total_memory
    share = 1.0
    for name in ("ample", "scarce"):
        study = make_study(study=name, recipe=recipe)
        run = run_of(study, "gta", lam=1.0)
        empty_cache()
        before = torch.cuda.memory_reserved()
        torch.cuda.set_per_process_memory_fraction(share)
        try:
            train_runs(study, [run], "cuda")
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        said = capfd.readouterr().err
        assert ("from here on in micro-batches of" in said) == (name == "scarce"), said
        histories.append(results.read_part(study.run_files(run), "history").to_pylist())
        # next, a good half of what that took
        share = (before + 0.6 * (torch.cuda.max_memory_reserved() - before)) / total
    for whole, halved in zip(*histories, strict=True):
        assert halved["cross_entropy"] == pytest.approx(whole["cross_entropy"], rel=1e-3)


def test_batches_that_arrive_while_the_gpu_computes_are_those_of_the_host(tmp_path: Path):
    """The copies run on a stream of their own: none may be read early or overwritten."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, 70, 80, 3), dtype=np.uint8)
    items = [Item(str(i), i % 4, "train", picture) for i, picture in enumerate(pictures)]
    store = write(tmp_path / "store", "random", list("abcd"), items)
    recipe = Recipe.model_validate(
        {
            "architecture": "vit_mini_patch8",
            "image_size": 48,
            "batch_size": 48,
            "iterations": 40,
            "lr": 1e-4,
            "augment": {"crop": "random_resized_crop", "flip": 0.5},
        }
    )
    augmenter, positions = Augmenter(recipe, seed=1), np.arange(64)
    with (
        Loader(store, positions, augmenter, 48, threads=4) as host,
        Loader(store, positions, augmenter, 48, 4, 2, torch.device("cuda")) as device,
    ):
        for iteration in range(40):
            images, labels = device.batch(iteration)
            torch.cuda._sleep(2_000_000)  # about a millisecond
            expected, wanted = host.batch(iteration)
            assert torch.equal(images.cpu(), expected)
            assert torch.equal(labels.cpu(), wanted)
