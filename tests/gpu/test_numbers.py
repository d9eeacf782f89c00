"""What a GPU computes against what the CPU computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gta import results
from gta.attention import View, grid_of, measure_masks, objects_of
from gta.catalog import PROTOCOLS
from gta.models.vit import create
from gta.study import Recipe, Run, Study
from gta.train import train_runs
from tests.train.runs import every_kind, run_of

pytestmark = pytest.mark.gpu

# Stochastic depth draws on the device; all else that is random is drawn on the host.
RECIPE = {
    "iterations": 5,
    "drop_path": 0.0,
    "lr": 1e-4,
    "augment": {"crop": "random_resized_crop", "randaugment": "rand-m9-mstd0.5-inc1"},
}


def trained(
    make_study: Callable[..., Study], name: str, device: str, runs: Any, **recipe: Any
) -> dict[Run, list[dict[str, Any]]]:
    """Train runs of a study of its own; the rows of each run's history."""
    study = make_study(study=name, recipe=RECIPE | recipe)
    chosen = runs(study)
    train_runs(study, chosen, device)
    return {run: results.read_part(study.run_files(run), "history").to_pylist() for run in chosen}


def assert_close(
    found: dict[Run, list[dict[str, Any]]], expected: dict[Run, list[dict[str, Any]]], rtol: float
) -> None:
    """Losses of every iteration are equal but for rounding."""
    assert found.keys() == expected.keys()
    for run, rows in expected.items():
        for mine, theirs in zip(found[run], rows, strict=True):
            for name in ("cross_entropy", "penalty"):
                # Penalties begin at zero, where target and source agree: then the scale is the
                # loss's.
                limit = rtol * max(abs(theirs[name]), abs(theirs["cross_entropy"]))
                assert mine[name] == pytest.approx(theirs[name], rel=0, abs=limit), run.name


def test_losses_of_every_method_are_the_cpus(make_study):
    here = trained(make_study, "cpu", "cpu", every_kind)
    there = trained(make_study, "gpu", "cuda", every_kind)
    assert_close(there, here, 1e-4)


def test_what_a_trained_model_says_is_what_it_says_on_the_cpu(make_study):
    """Tested are models that were trained apart; few of many predictions may differ."""
    said = {}
    for device in ("cpu", "cuda"):
        study = make_study(study=device, recipe=RECIPE)
        run = run_of(study, "gta", lam=1.0)
        train_runs(study, [run], device)
        metrics = results.read_part(study.run_files(run), "metrics").to_pylist()[0]
        predictions = results.read_part(study.run_files(run), "predictions")
        said[device] = metrics, np.asarray(predictions["prediction"])
    (here, expected), (there, found) = said["cpu"], said["cuda"]
    assert there["device"] == torch.cuda.get_device_name(0)
    for name in ("loss", "heldout_loss", "attention_mass"):
        assert there[name] == pytest.approx(here[name], rel=1e-3), name
    assert (found == expected).mean() >= 0.9


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_autocast_keeps_to_float32s_losses(make_study, precision):
    def runs(study: Study) -> list[Run]:
        return [run_of(study), run_of(study, "gta", lam=1.0), run_of(study, "bss")]

    exact = trained(make_study, "exact", "cuda", runs)
    rounded = trained(make_study, "rounded", "cuda", runs, precision=precision)
    # eight or eleven bits of a factor; the head begins near zero, the loss near log(classes)
    assert_close(rounded, exact, 2e-2)


def test_a_scale_that_overflows_is_lowered_until_steps_count(make_study, monkeypatch):
    scalers = []
    original = torch.amp.GradScaler

    def scaler(device: str, enabled: bool) -> torch.amp.GradScaler:
        scalers.append(original(device, init_scale=2.0**40, enabled=enabled))
        return scalers[-1]

    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    rows = trained(
        make_study, "scaled", "cuda", lambda study: [run_of(study)],
        precision="float16", iterations=60,
    )  # fmt: skip
    # each step that overflows halves it, each that counts leaves it alone
    assert 2.0**-10 < scalers[0].get_scale() < 2.0**40
    (history,) = rows.values()
    assert all(math.isfinite(row["cross_entropy"]) for row in history)


def test_compiled_models_have_the_losses_of_eager_ones(make_study):
    def runs(study: Study) -> list[Run]:
        return [run_of(study, "gta", lam=lam) for lam in (0.0, 1.0)]

    eager = trained(make_study, "eager", "cuda", runs)
    compiled = trained(make_study, "compiled", "cuda", runs, compile=True)
    assert_close(compiled, eager, 1e-4)


def test_masks_of_attention_are_the_cpus():
    torch.manual_seed(0)
    model = create("vit_mini_patch8", 48, num_classes=0).eval()
    rng, count = np.random.default_rng(0), 20
    masks = torch.from_numpy(rng.random((count, 48, 48)) < 0.3)
    pixels = rng.integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    view = View(pixels, objects_of(masks, grid_of(model)))
    recipe = Recipe(
        architecture="vit_mini_patch8", image_size=48, batch_size=8, iterations=1, lr=1e-4
    )
    protocols = [PROTOCOLS["sar"], PROTOCOLS["ipvit"]]
    rows = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        batches = view.batches(recipe, 8, device)
        rows.append(measure_masks(model.to(device), batches, protocols))
    for here, there in zip(*rows, strict=True):
        for name in ("jaccard", "matched_jaccard", "attention_mass"):
            assert there[name] == pytest.approx(here[name], abs=1e-3), name
