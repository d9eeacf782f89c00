"""17 Flowers in both its layouts: masks, split, and the digest of its files."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gta.catalog import DATASETS
from gta.data.prepare import prepare
from gta.data.readers import read
from gta.data.store import VOID, Store
from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge
from tests.support.archives import build, lay_out

FORMS = ["flowers17", "flowers17_published"]


def study_of(config: dict[str, Any], **images: Any) -> Study:
    own = {"study": "small", "datasets": ["flowers17"], "images": {"short_side": 16, **images}}
    return Study(merge(config, own))


@pytest.fixture(scope="module", params=FORMS)
def archives(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    build(request.param, folder)
    return folder


def prepared(config: dict[str, Any], archives: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("socket.socket.connect", None)  # any connection would fail
    monkeypatch.setenv("GTA_ARCHIVES", str(archives))
    return prepare(study_of(config, counts="any"), "flowers17")


def test_from_archives_to_a_store_with_masks(archives, tiny_config, workdir, monkeypatch):
    store = prepared(tiny_config, archives, monkeypatch)
    counts = DATASETS["flowers17"].counts
    assert counts is not None
    found = Counter(store.splits.tolist())
    assert (found["train"], found["test"], found["heldout"]) == (
        counts.train,
        counts.test,
        counts.heldout,
    )
    for split, images in (("train", 30), ("test", 40), ("heldout", 10)):
        assert np.bincount(store.labels[store.indices(split)]).tolist() == [images] * 17
    assert store.masks == "classes"
    assert store.names[79:81] == ["image_0080", "image_0081"]
    assert store.labels[79:81].tolist() == [0, 1]
    masked = np.asarray([store.is_masked(position) for position in range(len(store))])
    for label in range(17):
        there = 0 if label == 13 else min(80, 8 * label)
        of = [
            int(masked[(store.labels == label) & (store.splits == split)].sum())
            for split in ("test", "heldout", "train")
        ]
        assert of == [min(there, 40), np.clip(there - 40, 0, 10), max(there - 50, 0)]
    position = int(np.flatnonzero(masked)[0])
    ids = store.class_mask(position)
    assert set(np.unique(ids)) == {0, 1, VOID}
    assert store.mask(position).sum() == (ids == 1).sum() > 0
    bare = int(np.flatnonzero(~masked)[0])
    assert (store.class_mask(bare) == VOID).all()
    assert not store.mask(bare).any()
    store.verify()


def test_both_layouts_give_one_split(tmp_path):
    one, other = (read("flowers17", lay_out(form, tmp_path / form)) for form in FORMS)
    assert [(e.name, e.label, e.split) for e in one.entries] == [
        (e.name, e.label, e.split) for e in other.entries
    ]


def test_the_files_are_held_to_a_digest(tiny_config, workdir):
    build("flowers17", workdir / "data/archives")
    with pytest.raises(GtaError, match=r"flowers17: its files are not the published ones .*counts"):
        prepare(study_of(tiny_config), "flowers17")


def test_what_is_wrong_is_named(tmp_path):
    root = lay_out("flowers17_published", tmp_path)
    (root / "jpg/image_0700.jpg").unlink()
    with pytest.raises(GtaError, match=r"1 of the 1360 images are missing, the first is .*_0700"):
        read("flowers17", root)
    shutil.copy(root / "jpg/image_0001.jpg", root / "jpg/image_1361.jpg")
    with pytest.raises(GtaError, match=r"image_1361.jpg: is not one of image_0001.jpg to"):
        read("flowers17", root)
    shutil.rmtree(root / "trimaps")
    with pytest.raises(GtaError, match=r"does not hold 17 Flowers \(neither images_256/ and"):
        read("flowers17", root)


def test_the_real_archive(shared, tiny_config, tmp_path, workdir, monkeypatch):
    archive = shared("data/flowers17.tar")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/flowers17.tar").symlink_to(archive)
    monkeypatch.setenv("GTA_ARCHIVES", str(tmp_path / "archives"))
    store = prepare(study_of(tiny_config, short_side=32), "flowers17")
    test = store.indices("test")
    assert len(test) == 680
    assert sum(store.is_masked(int(position)) for position in test) == 605
