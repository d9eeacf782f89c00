"""From the renderer to the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gta.data import rendered
from gta.data.prepare import prepare
from gta.data.store import Store
from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge


@pytest.fixture
def small(tiny_study: Study) -> Study:
    """A study whose rendered sets are small."""
    sizes = {"seed": 3, "train_per_class": 2, "test_images": 7}
    return Study(merge(tiny_study.content, {"procedural": sizes}))


@pytest.mark.parametrize("dataset", ["mini_near", "mini_far"])
def test_the_store_holds_what_is_rendered(small, dataset):
    store = prepare(small, dataset)
    assert store.folder == small.store(dataset)
    images = rendered.render(dataset, 3, per_class=2, test_images=7)
    assert store.name == dataset
    assert store.classes == images.classes
    assert len(store.indices("train")) == 2 * len(images.classes)
    assert len(store.indices("test")) == 7
    np.testing.assert_array_equal(store.labels, images.labels)
    np.testing.assert_array_equal(store.splits, images.split)
    np.testing.assert_array_equal(np.stack(store.images(range(len(store)))), images.images)
    masks = [store.mask(position) for position in range(len(store))]
    np.testing.assert_array_equal(np.stack(masks), images.masks)
    assert len(set(store.names)) == len(store)


def test_without_sizes_the_renderer_chooses(tiny_study, monkeypatch):
    asked: dict[str, Any] = {}

    def render(name: str, seed: int, **sizes: Any) -> None:
        asked.update(sizes, name=name, seed=seed)
        raise GtaError("asked")

    monkeypatch.setattr(rendered, "render", render)
    with pytest.raises(GtaError, match="asked"):
        prepare(tiny_study, "mini_far")
    assert asked == {
        "name": "mini_far",
        "seed": 0,
        "per_class": rendered.PER_CLASS,
        "heldout_images": rendered.HELDOUT_IMAGES,
        "test_images": rendered.TEST_IMAGES,
        "progress": None,
    }


def test_a_store_that_is_there_is_kept(small, monkeypatch):
    before = prepare(small, "mini_near")
    written = (before.folder / "store.json").stat()
    monkeypatch.setattr(rendered, "render", None)
    assert prepare(small, "mini_near").digest == before.digest
    assert (before.folder / "store.json").stat() == written


def test_a_store_that_was_interrupted_is_made_again(small):
    digest = prepare(small, "mini_near").digest
    (small.store("mini_near") / "store.json").unlink()
    assert prepare(small, "mini_near").digest == digest


def test_other_sizes_or_seeds_are_another_store(small):
    other = Study(merge(small.content, {"procedural": {"seed": 4}}))
    assert prepare(small, "mini_near").digest != prepare(other, "mini_near").digest
    assert Store(small.store("mini_near")).folder != Store(other.store("mini_near")).folder


def test_what_is_not_known_is_an_error(tiny_study):
    with pytest.raises(GtaError, match=r"there is no dataset 'cup'; known: mini_near, .*grocery"):
        prepare(tiny_study, "cup")
