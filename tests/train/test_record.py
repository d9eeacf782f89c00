"""What a run leaves behind."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from gta import files, results
from gta.data.batches.augment import Evaluator
from gta.data.store import Store
from gta.models.sources import read_weights, weights_digest
from gta.models.vit import create
from gta.study import RunFiles
from gta.train import record, train_runs
from gta.train.evaluate import evaluate_each
from tests.support.samples import CLASSES, random_store
from tests.train.runs import CPU, run_of, weights_of


def test_the_row_of_metrics(make_study):
    study = make_study()
    run = run_of(study, "gta", lam=1.0)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study.run_files(run), "metrics").to_pylist()
    store = Store(study.store(run.dataset))
    predictions = results.read_part(study.run_files(run), "predictions").to_pylist()
    for split, key, count in (("test", "acc1", 12), ("heldout", "heldout_acc1", 24)):
        rows = [said for said in predictions if said["split"] == split]
        assert len(rows) == count
        assert [said["label"] for said in rows] == store.labels[[r["index"] for r in rows]].tolist()
        right = sum(said["prediction"] == said["label"] for said in rows)
        assert row[key] == pytest.approx(100 * right / count)
    assert {said["index"] for said in predictions if said["split"] == "test"} == set(range(32, 44))
    assert (row["n_train"], row["n_test"], row["n_heldout"]) == (8, 12, 24)
    assert row["iterations"] == 4
    assert row["loss"] > 0
    assert row["heldout_loss"] > 0
    assert row["images_per_second"] == pytest.approx(4 * 6 / row["seconds"])
    assert 50 < row["peak_memory_mb"] < 50_000
    assert row["device"] == f"cpu x {torch.get_num_threads()}"
    assert row["precision"] == "float32"
    assert 0 < row["attention_mass"] < 1
    assert row["recipe_digest"] == study.digest(run)
    assert row["data_digest"] == store.digest
    assert row["source_digest"] == files.file_digest(study.weights(run.source))
    versions = json.loads(row["versions"])
    assert versions["torch"] == version("torch")
    assert {"python", "gta", "torch", "torchvision", "timm", "numpy"} == versions.keys()
    assert row["git_commit"]
    assert row["finished_at"].tzinfo is not None
    history = results.read_part(study.run_files(run), "history").to_pylist()
    assert [line["iteration"] for line in history] == [0, 1, 2, 3]


def test_at_100_percent_nothing_is_held_out(make_study):
    study = make_study()
    run = run_of(study, rate=100)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study.run_files(run), "metrics").to_pylist()
    assert (row["n_train"], row["n_heldout"]) == (32, 0)
    assert row["heldout_acc1"] is row["heldout_loss"] is None


def test_no_mass_without_masks(make_study):
    study = make_study()
    random_store(study.store("mini_near"), masks=False)
    run = run_of(study)
    train_runs(study, [run], "cpu")
    assert results.read_part(study.run_files(run), "metrics")["attention_mass"].to_pylist() == [
        None
    ]


def test_the_kept_weights_give_the_same_predictions(make_study):
    study = make_study()
    run = run_of(study)
    train_runs(study, [run], "cpu")
    path, recipe = study.run_files(run).weights, study.recipe(run)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata.pop("weights_digest") == weights_digest(load_file(path))
    assert metadata == {"run": run.name, "recipe_digest": study.digest(run)}
    model = create(recipe.architecture, recipe.image_size, len(CLASSES))
    model.load_state_dict(load_file(path))
    store = Store(study.store(run.dataset))
    (found,) = evaluate_each(
        [model], [recipe], store, store.indices("test"), Evaluator(recipe), CPU
    )
    (row,) = results.read_part(study.run_files(run), "metrics").to_pylist()
    assert (found.acc1, found.loss) == (row["acc1"], row["loss"])
    assert found.attention_mass == row["attention_mass"]


def test_weights_that_no_figure_needs_are_not_kept(make_study):
    study = make_study(keep_weights="none")
    train_runs(study, [run_of(study)], "cpu")
    assert not (study.folder / "models").exists()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("method", "mix"), [("gta", "transmix"), ("block_guide", "none")])
def test_half_precision(make_study, precision, method, mix):
    study = make_study(recipe={"precision": precision, "iterations": 8})
    run = run_of(study, method, mix=mix)
    train_runs(study, [run], "cpu")
    (row,) = results.read_part(study.run_files(run), "metrics").to_pylist()
    assert row["precision"] == precision
    assert row["loss"] < 5
    weights = weights_of(study, run)
    source = read_weights(study.weights(run.source))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert not torch.equal(weights["norm.weight"], source["norm.weight"])


def test_metrics_are_written_last(make_study, monkeypatch):
    study = make_study()
    written = []
    original, keep = results.write, record.save_weights

    def write(run_files: RunFiles, kind: Any, rows: Any) -> None:
        written.append(kind)
        original(run_files, kind, rows)

    def save(path: Path, *rest: Any) -> None:
        written.append("models")
        keep(path, *rest)

    monkeypatch.setattr(results, "write", write)
    monkeypatch.setattr(record, "save_weights", save)
    train_runs(study, [run_of(study)], "cpu")
    assert sorted(written) == ["history", "metrics", "models", "predictions"]
    assert written[-1] == "metrics"
