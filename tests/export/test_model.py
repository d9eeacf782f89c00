"""Exported models: timm and ONNX give the logits of the run, and predictions come with names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

import gta
from gta.data.batches.augment import Evaluator
from gta.export.card import wilson
from tests.support import commands

RUN = "dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0"


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported model."""
    out = tmp_path_factory.mktemp("exported") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        commands.gta("export", RUN, "--config", "results/mini/config.yaml", "--out", str(out))
    return out


@pytest.fixture
def images(in_finished: Path, tmp_path: Path) -> Path:
    """Three test images of the study as files."""
    dataset = gta.open("mini").dataset("mini_near")
    (tmp_path / "images").mkdir()
    for position in dataset.indices("test")[:3].tolist():
        Image.fromarray(dataset.image(position)).save(tmp_path / "images" / f"{position:04d}.png")
    return tmp_path / "images"


def test_timm_loads_it_to_the_same_logits(exported: Path, in_finished: Path) -> None:
    run = gta.open("mini").run(RUN)
    pixels = gta.open("mini").dataset("mini_near").images(range(4))
    model = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    inputs = Evaluator(run.recipe)(pixels)
    with torch.inference_mode():
        found, expected = model(inputs), run.model()(inputs)
    assert torch.equal(found, expected)
    config = timm.data.resolve_model_data_config(model)
    assert tuple(config["input_size"]) == (3, 48, 48)
    assert tuple(config["mean"]) == (0.5, 0.5, 0.5)
    assert json.loads((exported / "config.json").read_text())["label_names"] == run.classes


def test_the_card_says_what_the_model_is(exported: Path, in_finished: Path) -> None:
    card = (exported / "README.md").read_text()
    run = gta.open("mini").run(RUN)
    assert f"{run.metrics['acc1']:.2f} % of 60 images" in card
    assert f"gta export {RUN}" in card
    assert "0.1 of 0.1, 1, " in card
    assert "{" not in card.split("```json")[0].replace("```python", "")


def test_wilson() -> None:
    """Newcombe 1998, table I: 81 of 263 gives .2553 to .3662; none of 20: 0 to .1611."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_another_model_in_the_folder_is_kept(exported: Path, in_finished: Path) -> None:
    other = RUN.replace("seed=0", "seed=1")
    error = commands.error_of("export", f"results/mini/models/{other}", "--out", str(exported))
    assert f"holds the model of {RUN}" in error
    assert "say where to write" in commands.error_of("export", f"results/mini/metrics/{RUN}")
    assert "does not name a run" in commands.error_of("export", "mini", "--out", "model")


def test_onnx_gives_logits_and_attention(in_finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "onnx"
    commands.gta("export", f"results/mini/metrics/{RUN}", "--out", str(out), "--onnx")
    session = runtime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    run = gta.open("mini").run(RUN)
    pixels = gta.open("mini").dataset("mini_near").images(range(3))
    inputs = Evaluator(run.recipe)(pixels)
    logits, maps = session.run(["logits", "attention"], {"images": inputs.numpy()})
    model = run.model()
    with torch.inference_mode():
        assert logits == pytest.approx(model(inputs).numpy(), abs=1e-4)
    ours = [gta.attention(model, image, resize=False) for image in pixels]
    assert maps == pytest.approx(np.stack(ours), abs=1e-4)


def test_predictions_of_run_and_folder_are_those_of_the_study(
    exported: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "predictions.csv"
    said = commands.gta("predict", str(exported), str(images), "--top", "2", "--out", str(out))
    assert said.strip().endswith("predictions.csv: 3 images")
    frame = pd.read_csv(out)
    run = gta.open("mini").run(RUN)
    expected = run.predictions.query("split == 'test'").set_index("index")
    for row in frame.to_dict("records"):
        stored: Any = expected.loc[int(Path(str(row["image"])).stem)]
        assert row["prediction"] == run.classes[stored["prediction"]]
        assert row["confidence"] == pytest.approx(stored["confidence"], abs=1e-5)
        assert row["confidence_2"] <= row["confidence"]
    pattern = str(images / "*.png")
    of_run = commands.gta("predict", f"results/mini/models/{RUN}", pattern, "--format", "csv")
    assert len(of_run.splitlines()) == 4


def test_bad_images_are_named_and_skipped(
    exported: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    said = commands.gta(
        "predict", str(exported), str(images), "--json", "--overlays", str(tmp_path / "maps")
    )
    rows = json.loads(said[said.index("[") :])
    assert len(rows) == 3
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 3
    shutil.rmtree(images)
    images.mkdir()
    (images / "broken.jpg").write_bytes(b"no image")
    error = commands.error_of("predict", str(exported), str(images))
    assert error == "none of 1 images could be read"
    assert "no file matches" in commands.error_of("predict", str(exported), "nothing*.png")


def test_a_folder_that_is_not_a_model(images: Path) -> None:
    error = commands.error_of("predict", str(images.parent), str(images))
    assert "config.json: cannot be read" in error
