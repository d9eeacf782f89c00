import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from gta.data import rendered
from gta.errors import GtaError
from gta.models.prepared import read_metadata
from gta.models.sources import load_source, read_weights, weights_digest
from gta.models.vit import create
from gta.train import pretrain

SHORT: dict[str, Any] = {"steps": 2, "objects_per_batch": 8, "objects": 16, "views": 2}
WEIGHTS = Path(str(files("gta.models"))) / "weights"


@pytest.fixture(scope="module")
def validation():
    held = pretrain.validation()
    return held, torch.from_numpy(held.images[:, 0]), torch.from_numpy(held.masks[:, 0])


@pytest.mark.parametrize("name", list(pretrain.RECIPES))
def test_a_short_training_writes_a_loadable_source(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "VALIDATION_OBJECTS", 8)
    recipe = pretrain.Recipe(pretrain.RECIPES[name].objective, **SHORT)
    steps: list[tuple[int, int]] = []
    state = torch.random.get_rng_state()
    metadata = pretrain.pretrain(
        name, tmp_path / "a.safetensors", lambda i, n: steps.append((i, n)), recipe
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert steps == [(1, 2), (2, 2)]
    assert read_metadata(tmp_path / "a.safetensors") == metadata
    again = pretrain.pretrain(name, tmp_path / "b.safetensors", recipe=recipe)
    assert again["weights_digest"] == metadata["weights_digest"]
    weights = read_weights(tmp_path / "a.safetensors")
    assert weights_digest(weights) == metadata["weights_digest"]
    load_source(tmp_path / "a.safetensors", pretrain.ARCHITECTURE, rendered.SIZE)


@pytest.mark.parametrize("name", list(pretrain.RECIPES))
def test_shipped_source_is_what_its_metadata_says(name, validation):
    held, images, masks = validation
    path = WEIGHTS / f"{name}.safetensors"
    metadata = read_metadata(path)
    recipe = pretrain.RECIPES[name]
    assert metadata["source"] == name
    assert metadata["objective"] == recipe.objective
    assert json.loads(metadata["recipe"]) == asdict(recipe)
    assert metadata["architecture"] == pretrain.ARCHITECTURE
    assert metadata["weights_digest"] == weights_digest(read_weights(path))
    assert metadata["validation_digest"] == held.digest
    model = load_source(path, metadata["architecture"], int(metadata["image_size"]))
    share = pretrain.quality(model, images, masks)
    assert share == pytest.approx(float(metadata["attention_mass"]), abs=2e-3)


def test_shipped_sources_are_small_and_attend_to_the_object(validation):
    sizes = [(WEIGHTS / f"{name}.safetensors").stat().st_size for name in pretrain.RECIPES]
    assert sum(sizes) < 5e6
    area = validation[2].float().mean()
    metadata = read_metadata(WEIGHTS / "tiny_ibot.safetensors")
    assert float(metadata["attention_mass"]) > 2 * area


def test_attributes_name_body_marks_and_hues():
    corpus = rendered.upstream(4, objects=4, views=1, siblings=1)
    table = pretrain.attributes(corpus.objects)
    assert table.shape == (4, pretrain.N_ATTRIBUTES)
    lobes, marks = rendered.UPSTREAM.lobes, rendered.UPSTREAM.marks
    shapes = list(rendered.MARKS)
    for row, lobe, mark, hue in zip(
        table, corpus.objects.lobes, corpus.objects.mark, corpus.objects.mark_hue, strict=True
    ):
        expected = torch.zeros(pretrain.N_ATTRIBUTES)
        expected[lobes.index(lobe)] = 1
        for kind, turn in zip(mark, hue, strict=True):
            expected[len(lobes) + marks.index(shapes[kind])] = 1
            expected[len(lobes) + len(marks) + int(turn * 12)] = 1
        assert torch.equal(row, expected)


def test_momentum_contrast_is_info_nce_against_the_teacher():
    torch.manual_seed(0)
    model = create(pretrain.ARCHITECTURE, rendered.SIZE, num_classes=0)
    objective = pretrain.MomentumContrast(model)
    batch = pretrain.Batch(torch.randn(6, 3, 48, 48), torch.zeros(3, pretrain.N_ATTRIBUTES))
    z = objective.project(model.forward_features(batch.images)[:, 0])  # teacher == student at first
    q = F.normalize(objective.predict(z), dim=1)
    k = F.normalize(z, dim=1)
    total = torch.zeros(())
    for i in range(6):
        scores = [(q[i] @ k[j] / 0.1).exp() for j in range(6) if j != i]
        total = total - torch.log((q[i] @ k[(i + 3) % 6] / 0.1).exp() / torch.stack(scores).sum())
    torch.testing.assert_close(objective(model, batch), total / 6, rtol=1e-4, atol=1e-5)


def test_bad_name_and_diverging_loss_are_one_line(tmp_path):
    with pytest.raises(GtaError, match="tiny_ibot, tiny_dino, tiny_supervised"):
        pretrain.pretrain("ibot", tmp_path / "x")
    recipe = pretrain.Recipe("attributes", **SHORT | {"lr": 1e30})
    with pytest.raises(GtaError, match=r"loss is (nan|inf) at step 1"):
        pretrain.pretrain("tiny_supervised", tmp_path / "x", recipe=recipe)
    assert not list(tmp_path.iterdir())
