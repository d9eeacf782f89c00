"""Batches made by threads and ahead of time against those made when they are asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gta.data.batches.augment import Augmenter, Evaluator
from gta.data.batches.loader import AHEAD, Loader, evaluation_batches, loader_workers
from gta.data.batches.sampler import BatchStream
from gta.data.store import Item, Store, write
from gta.errors import GtaError
from gta.study.recipe import Recipe

BATCH = 10  # more than a thread takes at a time, and no divisor of the images
VIEWS = {"crop": "random_resized_crop", "flip": 0.5, "randaugment": "rand-m9-mstd0.5-inc1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rng = np.random.default_rng(0)
    items = [
        Item(str(i), i % 5, "train", rng.integers(0, 256, (20 + i % 3, 24, 3), dtype=np.uint8))
        for i in range(25)
    ]
    folder: Path = tmp_path_factory.mktemp("store")
    return write(folder, "random", list("abcde"), items)


def recipe(augment: dict[str, Any] | None = None) -> Recipe:
    given = {
        "architecture": "vit_mini_patch8",
        "image_size": 16,
        "batch_size": BATCH,
        "iterations": 4,
        "lr": 1e-3,
        "augment": augment or VIEWS,
        "evaluation": {"resize": 18},
    }
    return Recipe.model_validate(given)


def augmenter(augment: dict[str, Any] | None = None) -> Augmenter:
    return Augmenter(recipe(augment), seed=3)


def loader(store: Store, **how: Any) -> Loader:
    return Loader(store, np.arange(1, 24), augmenter(), BATCH, **how)


def plainly(store: Store, iteration: int) -> tuple[Tensor, list[int]]:
    positions = np.arange(1, 24)[BatchStream(23, BATCH, seed=3).batch(iteration)]
    images = augmenter()(store.images(positions), iteration)
    return images, store.labels[positions].tolist()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"threads": 3},
        {"ahead": 1},
        {"threads": 2, "ahead": 3},
        {"threads": 4, "ahead": 1},
        {"as_bytes": True},
        {"threads": 2, "ahead": 1, "as_bytes": True},
    ],
)
@pytest.mark.parametrize("iterations", [range(8), [5, 6, 0, 1, 1, 7]])
def test_batches_are_bit_for_bit_the_plain_ones(
    store: Store, how: dict[str, int], iterations: list[int]
) -> None:
    with loader(store, **how) as made:
        for iteration in iterations:
            images, labels = made.batch(iteration)
            expected, wanted = plainly(store, iteration)
            assert torch.equal(images, expected)
            assert labels.dtype == torch.int64
            assert labels.tolist() == wanted


def test_the_next_batches_are_made_while_one_is_in_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, str] = {}
    third = threading.Event()
    draw = Augmenter.draw

    def noted(self: Augmenter, images: list[np.ndarray], iteration: int) -> Any:
        seen[iteration] = threading.current_thread().name
        if iteration == 2:
            third.set()
        return draw(self, images, iteration)

    monkeypatch.setattr(Augmenter, "draw", noted)
    with loader(store, ahead=2) as made:
        made.batch(0)
        assert third.wait(timeout=60)  # nobody has asked for it
    assert set(seen) == {0, 1, 2}
    assert threading.current_thread().name not in seen.values()


def test_without_batches_ahead_none_is_made_in_vain(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    draw = Augmenter.draw

    def noted(self: Augmenter, images: list[np.ndarray], iteration: int) -> Any:
        seen.append(iteration)
        return draw(self, images, iteration)

    monkeypatch.setattr(Augmenter, "draw", noted)
    for how in ({}, {"threads": 2}):
        with loader(store, **how) as made:
            made.batch(4)
    assert seen == [4, 4]


@pytest.mark.parametrize("how", [{}, {"threads": 2, "ahead": 2}])
def test_an_error_reaches_who_asks_for_the_batch(store: Store, how: dict[str, Any]) -> None:
    uncropped = augmenter({"crop": "none"})
    with (
        Loader(store, np.arange(10), uncropped, BATCH, **how) as made,
        pytest.raises(GtaError, match="cannot be used as they are"),
    ):
        made.batch(0)


def test_the_wait_is_counted_and_threads_end(store: Store) -> None:
    before = threading.active_count()
    made = loader(store, threads=2, ahead=1)
    assert made.waited == 0
    made.batch(0)
    once = made.waited
    made.batch(1)
    assert 0 < once < made.waited
    assert threading.active_count() > before
    made.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("how", [{}, {"threads": 3, "ahead": 2}])
def test_what_the_device_augments_is_the_same_whoever_made_the_rest(
    store: Store, how: dict[str, Any]
) -> None:
    there = augmenter(VIEWS | {"randaugment_on": "device"})
    with Loader(store, np.arange(1, 24), there, BATCH, **how) as made:
        for iteration in (0, 5, 1):
            positions = np.arange(1, 24)[BatchStream(23, BATCH, seed=3).batch(iteration)]
            images, _ = made.batch(iteration)
            assert torch.equal(images, there(store.images(positions), iteration))
            assert not torch.equal(images, plainly(store, iteration)[0])


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["host", "device"])
def test_a_gpus_batches_are_the_same(store: Store, where: str) -> None:
    views = augmenter(VIEWS | {"randaugment_on": where})
    gpu = torch.device("cuda")
    with Loader(store, np.arange(1, 24), views, BATCH, device=gpu) as made:
        images, labels = made.batch(2)
        assert images.device.type == labels.device.type == "cuda"
        positions = np.arange(1, 24)[BatchStream(23, BATCH, seed=3).batch(2)]
        expected = views(store.images(positions), 2)
        # a GPU interpolates in another order, which may round a level the other way
        limit = 0.0 if where == "host" else 2 / 255 / min(recipe().std)
        torch.testing.assert_close(images.cpu(), expected, rtol=0, atol=limit)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("size", [4, 10, 100])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_evaluation_batches_are_the_plain_views(
    store: Store, threads: int, ahead: int, size: int, as_bytes: bool
) -> None:
    before = threading.active_count()
    evaluator, positions = Evaluator(recipe()), np.array([3, 1, *range(5, 24)])
    how: dict[str, Any] = {"threads": threads, "ahead": ahead, "as_bytes": as_bytes}
    made = list(evaluation_batches(store, positions, evaluator, size, **how))
    assert [len(batch) for batch, _ in made[:-1]] == [size] * (len(made) - 1)
    assert np.concatenate([batch for batch, _ in made]).tolist() == positions.tolist()
    expected = evaluator(store.images(positions))
    assert torch.equal(torch.cat([images for _, images in made]), expected)
    assert threading.active_count() == before


def test_who_stops_looking_leaves_no_threads(store: Store) -> None:
    before = threading.active_count()
    batches = evaluation_batches(store, np.arange(24), Evaluator(recipe()), 4, threads=2, ahead=2)
    next(batches)
    assert threading.active_count() > before
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_images_are_made_ahead_for_a_gpu_alone() -> None:
    threads = torch.get_num_threads()
    assert loader_workers(torch.device("cpu")) == (threads, 0)
    assert loader_workers(torch.device("cuda", 1)) == (threads, AHEAD)
