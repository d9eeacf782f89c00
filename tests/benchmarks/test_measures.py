"""The quick measurements, made quicker: that they run and count what they say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import invented
from benchmarks.inputs import pictures, working_folder, write_jpegs, write_store
from benchmarks.machine import describe
from benchmarks.measures import input as input_
from benchmarks.measures import last_block, penalties, step, waiting
from gta import results
from gta.methods import METHODS
from gta.study import Study


@pytest.fixture(autouse=True)
def no_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GTA_ARCHIVES", str(tmp_path / "none"))


def test_images_are_the_same_as_jpegs_and_in_the_store(tmp_path: Path) -> None:
    images = pictures(6, 100)
    assert {max(image.shape[:2]) for image in images} == {100}
    paths = write_jpegs(images, tmp_path / "jpegs", classes=3)
    store = write_store(images, tmp_path / "store", 3, ["train"] * 6, short_side=48)
    for number, (image, path) in enumerate(zip(images, paths, strict=True)):
        decoded = np.asarray(Image.open(path))
        assert decoded.shape == image.shape
        assert np.abs(decoded.astype(int) - image).mean() < 8
        assert path.parent.name == f"class{number % 3:02d}"
        assert min(store.image(number).shape[:2]) == 48
    assert store.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_work_in_a_folder_leaves_no_trace(tmp_path: Path) -> None:
    here, before = Path.cwd(), dict(os.environ)
    with working_folder(tmp_path, GTA_STORE="store"):
        assert Path.cwd() == tmp_path
        study = Study.load(["config/mini.yaml"])
        assert str(study.store_root) == "store"
    assert Path.cwd() == here
    assert dict(os.environ) == before


def test_speed_of_the_input_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_, "IMAGES", 4)
    monkeypatch.setattr(input_, "BATCH", 2)
    rows = {row.name: row for row in input_.measure(repeats=2)}
    assert list(rows) == ["input", "input_randaugment", "store_access"]
    assert {row.better for row in rows.values()} == {"higher"}
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in rows.values())
    assert "synthetic images" in rows["input"].what


def test_speed_of_steps_and_share_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = step.STUDY["recipe"] | {"architecture": "vit_mini_patch8", "image_size": 16}
    study = step.STUDY | {"recipe": recipe | {"batch_size": 4}, "sources": {"main": "tiny_ibot"}}
    for module in (step, waiting):
        monkeypatch.setattr(module, "STUDY", study)
    monkeypatch.setattr(step, "SIDE", 16)
    monkeypatch.setattr(step, "BATCH", 4)
    monkeypatch.setattr(waiting, "IMAGES", 8)
    (row,) = step.measure(repeats=2)
    assert (row.name, row.goal, len(row.values)) == ("gta_step", 1.34, 2)
    shares = waiting.measure(repeats=1)
    assert [share.name for share in shares] == ["wait", "wait_ahead"]
    assert all(0 < share.median < 1 for share in shares)


def test_invented_results_are_collected_as_done(tiny_study: Study) -> None:
    invented.write_runs(tiny_study, tiny_study.runs)
    table, missing = results.collect_metrics(tiny_study, lambda run: None)
    assert (table.num_rows, missing) == (len(tiny_study.runs), {})
    assert invented.collected(tiny_study).schema.names == table.schema.names


def test_speed_of_a_penalty_and_of_the_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalties, "METHODS", {name: METHODS[name] for name in ("finetune", "gta")})
    monkeypatch.setattr(penalties, "STEPS", 1)
    (row,) = penalties.measure(repeats=1)
    assert (row.name, row.goal) == ("step_gta", 1.4)
    models = {"mini": ("vit_mini_patch8", 16, 2, 0.8, None)}
    monkeypatch.setattr(last_block, "MODELS", models)
    names = [row.name for row in last_block.measure(repeats=1)]
    assert names == ["last_block_training_mini", "last_block_testing_mini"]


def test_the_machine_is_described() -> None:
    about = describe()
    assert "cores" in about["CPU"]
    assert about["torch"]
    assert about["Commit"]
