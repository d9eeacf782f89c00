"""Every dataset from its archives: found or fetched, checked, unpacked, prepared, split."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gta.study.inputs
from gta.catalog import DATASETS, Counts, DatasetInfo
from gta.data.fetch.obtain import fetch_archives, obtain
from gta.data.prepare import prepare
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.load import merge
from gta.train.lockstep import SharedBatches
from tests.support.archives import Size, build, lay_out
from tests.support.loopback import give, host

SIZE = Size(classes=4, train=5, test=2, heldout=1)
# Every second class has a training image more.
TRAIN = 5 + 6 + 5 + 6
LAYOUTS = {
    "cub": "cub",
    "cars": "cars",
    "cars_copy": "cars",
    "cars_pooled": "cars",
    "aircraft": "aircraft",
    "dogs": "dogs",
    "pet": "pet",
    "voc12": "voc12",
    "grocery": "grocery",
}
PAPERS = [layout for layout in LAYOUTS if layout not in ("voc12", "grocery")]
BY_HAND = [layout for layout, dataset in LAYOUTS.items() if dataset == "cars"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def study_of(config: dict[str, Any], dataset: str, files: list[Path], **keys: Any) -> Study:
    """A study of one dataset, whose archives are held to the digests of the given files."""
    known = [
        archive for form in DATASETS[dataset].forms for archive in (*form.archives, *form.optional)
    ]
    published = {name: archive.file for archive in known for name in archive.other_names}
    own = {
        "study": "small",
        "datasets": [dataset],
        "digests": {published.get(path.name, path.name): sha256(path) for path in files},
        "images": {"short_side": 32},
        **keys,
    }
    return Study(merge(config, own))


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> dict[str, DatasetInfo]:
    """The catalog, with the counts of what is built here, to be changed by a test."""
    counts = {
        "voc12": Counts(20, 0, 0),
        "grocery": Counts(4, TRAIN, 4 * 2, 4),
    }
    known = {
        name: dataclasses.replace(info, counts=counts.get(name, Counts(4, TRAIN, 4 * 2)))
        if info.counts
        else info
        for name, info in DATASETS.items()
    }
    monkeypatch.setattr(gta.study.inputs, "DATASETS", known)
    return known


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "voc12"])
def test_from_placed_archives_to_splits(layout, tiny_config, workdir, catalog, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)  # any connection would fail
    dataset = LAYOUTS[layout]
    files = build(layout, workdir / "data/archives", SIZE)
    study = study_of(tiny_config, dataset, files)
    store = prepare(study, dataset)
    counts = catalog[dataset].counts
    assert counts is not None
    assert len(store.classes) == counts.classes
    for split, images in (
        ("train", counts.train),
        ("test", counts.test),
        ("heldout", counts.heldout),
    ):
        assert len(store.indices(split)) == images
    assert all(min(store.image(position).shape[:2]) == 32 for position in range(len(store)))
    assert {one["file"] for one in store.notes["origin"]} == {path.name for path in files}
    record = json.loads((workdir / f"data/store/archives/{dataset}.json").read_text())
    assert record == store.notes["origin"]
    assert not list((workdir / "data/store/unpacked").glob("[!.]*"))  # no second copy is kept
    run = Run(dataset, 15.0, "tiny_ibot", "finetune", "none", 0.0, 0)
    subset = subset_of(study, run, store)
    labels, sizes = np.unique(store.labels[subset.train], return_counts=True)
    per_class = np.bincount(store.labels[store.indices("train")])
    assert labels.tolist() == list(range(counts.classes))
    assert sizes.tolist() == [math.ceil(0.15 * images) for images in per_class]


def test_voc_has_masks_of_classes(tiny_config, workdir, catalog):
    files = build("voc12", workdir / "data/archives", SIZE)
    study = study_of(tiny_config, "voc12", files, images={"short_side": 32, "counts": "any"})
    store = prepare(study, "voc12")
    assert store.masks == "classes"
    assert set(store.splits) == {"test"}
    for position in range(len(store)):
        assert store.class_mask(position).shape == store.image(position).shape[:2]
        assert store.labels[position] + 1 in store.class_mask(position)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in (*BY_HAND, "voc12")])
def test_archives_that_are_not_here_are_fetched(layout, tiny_config, workdir, catalog):
    dataset = LAYOUTS[layout]
    files = {path.name: path for path in build(layout, workdir / "hosted", SIZE)}
    info = catalog[dataset]
    (form,) = info.forms
    # grocery's archive goes by several names; it is fetched under the first
    bodies = dict(zip((a.file for a in form.archives), files.values(), strict=True))
    with host() as server:
        hosted = tuple(
            dataclasses.replace(
                archive,
                urls=(server.serve(f"/{archive.file}", give(bodies[archive.file].read_bytes())),),
            )
            for archive in form.archives
        )
        catalog[dataset] = dataclasses.replace(
            info, forms=(dataclasses.replace(form, archives=hosted),)
        )
        study = study_of(tiny_config, dataset, list(files.values()))
        checked = fetch_archives(study, dataset)
    assert {one.verified for one in checked.values()} == {"sha256"}
    assert prepare(study, dataset).digest  # with the server gone
    for archive in hosted:
        fetched = workdir / "data/archives" / archive.file
        assert fetched.read_bytes() == bodies[archive.file].read_bytes()


def test_an_archive_that_is_not_the_published_one_is_refused(tiny_config, workdir, catalog):
    build("aircraft", workdir / "data/archives", SIZE)
    study = study_of(tiny_config, "aircraft", [])
    with pytest.raises(GtaError, match=r"fgvc-aircraft-2013b.tar.gz: has md5 [0-9a-f]{32} in plac"):
        prepare(study, "aircraft")
    assert not study.store("aircraft").exists()


def test_a_folder_unpacked_by_hand_needs_no_archive(tiny_config, workdir, catalog):
    archives = workdir / "data/archives"
    lay_out("cub", archives / "CUB_200_2011", SIZE)
    study = study_of(tiny_config, "cub", [])
    folder = prepare(study, "cub")
    build("cub", archives, SIZE)  # the same images, packed
    (archives / "CUB_200_2011").rename(archives / "elsewhere")
    packed = study_of(
        {**tiny_config, "procedural": {"seed": 1}}, "cub", [archives / "CUB_200_2011.tgz"]
    )
    (folder.folder / "store.json").unlink()
    assert prepare(packed, "cub").digest == folder.digest


def test_other_counts_than_published_are_an_error_that_names_them(tiny_config, workdir, catalog):
    files = build("pet", workdir / "data/archives", SIZE)
    catalog["pet"] = dataclasses.replace(catalog["pet"], counts=Counts(4, TRAIN + 1, 8))
    with pytest.raises(GtaError, match=f"^pet: {TRAIN} training images instead of {TRAIN + 1}"):
        prepare(study_of(tiny_config, "pet", files), "pet")
    any_counts = {"short_side": 32, "counts": "any"}
    assert len(prepare(study_of(tiny_config, "pet", files, images=any_counts), "pet"))


def test_cars_say_what_to_place_where(tiny_config, workdir, catalog):
    with pytest.raises(GtaError) as raised:
        obtain(study_of(tiny_config, "cars", []), "cars")
    line = str(raised.value)
    assert line.startswith(
        "cars: cars_train.tgz, cars_test.tgz, cars_test_annos_withlabels.mat missing in "
        "data/archives; its own site is gone: place car_devkit.tgz"
    )
    assert "stanford-cars-dataset.zip" in line


@pytest.mark.parametrize("damaged", ["stop", "leave_out"])
def test_a_damaged_image_stops_or_is_left_out_and_counted(damaged, tiny_config, workdir, catalog):
    folder = lay_out("grocery", workdir / "data/archives/GroceryStoreDataset", SIZE)
    victim = sorted(folder.rglob("test/**/*.jpg"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    images = {"short_side": 32, "damaged": damaged}
    study = study_of(tiny_config, "grocery", [], images=images)
    if damaged == "stop":
        with pytest.raises(GtaError, match=rf"{victim.name}: .*get them again or remove") as raised:
            prepare(study, "grocery")
        assert "\n" not in str(raised.value)
        assert not (study.store("grocery") / "store.json").exists()
        return
    store = prepare(study, "grocery")
    assert len(store.indices("test")) == 4 * 2 - 1
    (left_out,) = store.notes["left_out"]
    assert victim.name in left_out
    assert Store(store.folder).notes == store.notes


def test_a_killed_preparation_goes_on(tiny_config, workdir, catalog, monkeypatch):
    monkeypatch.setattr("gta.data.photographs.CHUNK", 4)
    files = build("grocery", workdir / "data/archives", SIZE)
    study = study_of(tiny_config, "grocery", files)
    seen: list[int] = []

    def killed(done: int, total: int) -> None:
        seen.append(done)
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(study, "grocery", killed)
    assert not (study.store("grocery") / "store.json").exists()
    again: list[int] = []
    store = prepare(study, "grocery", lambda done, total: again.append(done))
    assert again[0] >= seen[-1]  # what was decoded is not decoded again
    assert again[-1] == len(store) == TRAIN + 4 * 2 + 4
    assert not list(store.folder.glob(".parts-*"))


@pytest.mark.parametrize("layout", PAPERS)
@pytest.mark.parametrize("fault", [None, "unknown line", "missing line"])
def test_published_lists(layout, fault, tiny_config, workdir, catalog):
    """The whole path: names in the lists to images of the store, one to one."""
    dataset = LAYOUTS[layout]
    files = build(layout, workdir / "data/archives", SIZE)
    if layout == "cars_copy":
        files += build("cars_pooled", workdir / "pooled", SIZE)
        annotations = workdir / "data/archives/cars_annos.mat"
        (workdir / "pooled/cars_annos.mat").rename(annotations)
        files = [*files[:-2], annotations]
    store = prepare(study_of(tiny_config, dataset, files), dataset)
    names = {
        split: [name for name, own in zip(store.bss, store.splits, strict=True) if own == split]
        for split in ("train", "test")
    }
    assert all(names["train"])
    kept = names["train"][::3]
    lists = {f"{rate}_train": kept if rate < 100 else names["train"] for rate in (15, 30, 50, 100)}
    lists["test"] = names["test"]
    if fault == "unknown line":
        lists["15_train"] = [*kept, "train/1/no_such_image.jpg"]
    if fault == "missing line":
        lists["test"] = names["test"][1:]
    folder = workdir / "data/archives/bss"
    folder.mkdir()
    for name, lines in lists.items():
        (folder / f"{DATASETS[dataset].bss}_{name}.txt").write_text("\n".join(map(str, lines)))
    study = study_of(
        tiny_config, dataset, [*files, *folder.iterdir()], split={"kind": "bss", "heldout": 3}
    )
    fetch_archives(study, dataset)  # the lists are found and checked with the archives
    run = Run(dataset, 15.0, "tiny_ibot", "finetune", "none", 0.0, 0)
    if fault is not None:
        with pytest.raises(GtaError, match=r"no_such_image|in no published list"):
            subset_of(study, run, store)
        return
    subset = subset_of(study, run, store)
    assert sorted(str(store.bss[position]) for position in subset.train) == sorted(map(str, kept))
    assert len(subset.test) == len(names["test"])
    assert len(subset.heldout) == 3
    assert not set(subset.heldout) & set(subset.train)
    # and the trainer takes them
    fed = SharedBatches(study, run, store, torch.device("cpu")).subset
    np.testing.assert_array_equal(fed.train, subset.train)
