"""``import gta``: its examples run, it is light, and it opens studies from any directory."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

import gta
import gta.interface
from gta.data.batches.augment import Evaluator
from gta.errors import GtaError
from gta.models.trained import load_trained, with_preprocessing
from gta.study import Study
from tests.support.finished import CONFIG
from tests.test_floors import HEAVY

MODULES = ["gta.attention.image"] + [
    f"gta.interface.{module.name}" for module in pkgutil.iter_modules(gta.interface.__path__)
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, in_finished: Path) -> None:
    failed, _ = doctest.testmod(
        importlib.import_module(name), extraglobs={"gta": gta}, optionflags=OPTIONS
    )
    assert not failed


def test_every_public_name_is_there_and_documented() -> None:
    assert set(gta.__all__) <= set(dir(gta))
    for name in gta.__all__:
        assert getattr(gta, name).__doc__, name
    for part in (gta.StudyResults, gta.RunResults):
        for name, member in vars(part).items():
            if not name.startswith("_"):
                assert getattr(member, "__doc__", None), f"{part.__name__}.{name}"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = gta.nothing


@pytest.mark.parametrize("code", ["import gta", "import gta; gta.GtaError; gta.open"])
def test_import_is_light(code: str) -> None:
    heavy = [name for name in HEAVY if not (name == "pandas" and "open" in code)]
    script = f"import sys; {code}; print(*(m for m in {heavy!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


# Opening


def test_opens_from_any_directory(finished: Path, tmp_path: Path, monkeypatch) -> None:
    for name in ("GTA_STORE", "GTA_STUDY"):
        monkeypatch.delenv(name, raising=False)
    config = finished / "results" / "mini" / "config.yaml"
    monkeypatch.chdir(tmp_path)
    for where in (finished, finished / "results/mini", str(config), [config]):
        study = gta.open(where)
        assert len(study.metrics) == 16
        assert len(study.dataset("mini_near")) == 240
    (tmp_path / "link").symlink_to(finished / "results" / "mini")
    assert len(gta.open("link").metrics) == 16
    monkeypatch.chdir(finished / "data" / "store")
    assert len(gta.open("mini").metrics) == len(gta.open().metrics) == 16
    monkeypatch.setenv("GTA_STUDY", "paper")
    assert gta.open().name == "paper"


def test_says_what_cannot_be_opened(in_finished: Path, tmp_path: Path) -> None:
    with pytest.raises(GtaError, match=r"nothing: is not .*; studies with results here: mini"):
        gta.open("nothing")
    with pytest.raises(GtaError, match=r"config\.yaml: missing; Snakemake writes it"):
        gta.open(tmp_path)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.runs(colour=1), "'colour' is not a field of a run: dataset, rate"),
        (lambda s: s.runs(rate=30), "no run with rate=30; rate is one of: 15, 100"),
        (lambda s: s.gain("l2_sp"), "runs no method 'l2_sp'; it runs: finetune, gta"),
        (lambda s: s.best(rule="luck"), "rule: 'luck' is not heldout or test"),
        (lambda s: s.table("table2"), "has no table 'table2'; it has: fresh"),
        (lambda s: s.figure("figure1"), "has no figure 'figure1'; it has: figure4"),
        (lambda s: s.dataset("cub"), "has no dataset 'cub'; it has: mini_near"),
        (lambda s: s.source("dino"), "has no source 'dino'; it has: tiny_ibot"),
    ],
)
def test_errors_name_what_there_is(in_finished: Path, call, said: str) -> None:
    with pytest.raises(GtaError, match=said):
        call(gta.open("mini"))


# Numbers


def test_gain_is_the_difference_of_the_means(in_finished: Path) -> None:
    study = gta.open("mini")
    gain = study.gain("gta", over="linear_probe", rule="test")
    best = study.best(rule="test").set_index(["method", "rate"])["acc1_mean"]
    assert len(gain) == 2
    for row in gain.to_dict("records"):
        difference = best["gta", row["rate"]] - best["linear_probe", row["rate"]]
        assert row["gain"] == pytest.approx(difference)
        assert row["low"] <= row["gain"] <= row["high"]
        assert (row["seeds"], row["images"]) == (2, 60)


def test_gain_over_finetuning_is_that_of_the_tables(in_finished: Path) -> None:
    study = gta.open("mini")
    table = study.table("fresh").query("selection == 'heldout' and method == 'gta'")
    gain = study.gain("gta")
    assert gain["gain"].tolist() == pytest.approx(table["gain_mean"].tolist())


def test_metrics_without_the_collected_file(in_finished: Path, tmp_path: Path) -> None:
    shutil.copytree("results/mini", tmp_path / "mini")
    (tmp_path / "mini" / "metrics.parquet").unlink()
    assert len(gta.open(tmp_path / "mini").metrics) == 16


# Models


def test_model_repeats_the_predictions_of_its_run(in_finished: Path) -> None:
    study = gta.open("mini")
    run = study.runs(method="gta", rate=15, seed=0)[0]
    dataset, model = study.dataset("mini_near"), run.model()
    test = run.predictions.query("split == 'test'")
    images = Evaluator(run.recipe)(dataset.images(test["index"]))
    with torch.inference_mode():
        confidence, answers = model(images).softmax(1).max(1)
    assert answers.tolist() == test["prediction"].tolist()
    assert confidence.numpy() == pytest.approx(test["confidence"].to_numpy(), abs=1e-5)
    assert run.classes == dataset.classes


def test_preprocessing_in_timms_terms_is_the_view_of_the_tests(in_finished: Path) -> None:
    study = Study({**CONFIG, "recipe": {**CONFIG["recipe"], "evaluation": {"resize": 56}}})
    recipe = study.recipe(study.runs[0])
    model = gta.open("mini").source()
    with_preprocessing(model, recipe)
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    ours = Evaluator(recipe)([pixels])[0]
    theirs = transform(Image.fromarray(pixels))
    # PIL rounds to bytes between the passes of its resize: a few grey levels of 255
    assert float((ours - theirs).abs().max()) < 4 / 255 / 0.25


def test_weights_of_another_run_are_refused(in_finished: Path, tmp_path: Path) -> None:
    first, second = gta.open("mini").runs(method="gta")[:2]
    with pytest.raises(GtaError, match="holds the weights of another run"):
        load_trained(first.weights, second.recipe, second.name)


# Attention


def test_attention_of_paths_pictures_and_arrays(in_finished: Path, tmp_path: Path) -> None:
    model = gta.open("mini").source()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = gta.attention(model, pixels)
    assert expected.shape == (30, 50)
    assert 0 <= expected.min() <= expected.max() <= 1
    for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(pixels)):
        assert np.array_equal(gta.attention(model, image), expected)
    heads = [gta.attention(model, pixels, heads=head, resize=False) for head in (0, 1)]
    assert heads[0].shape == (6, 6)
    mean = gta.attention(model, pixels, heads="mean", resize=False)
    assert np.allclose(np.mean(heads, axis=0), mean)
    assert gta.overlay(pixels, expected).shape == pixels.shape
    for wrong, said in (({"heads": 2}, "heads 0 to 1"), ({"heads": "min"}, "not max, mean")):
        with pytest.raises(GtaError, match=said):
            gta.attention(model, pixels, **wrong)
    with pytest.raises(GtaError, match="uint8 is needed"):
        gta.attention(model, pixels.astype(float))
