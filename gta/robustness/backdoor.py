"""Test finished runs on images that bear a backdoor's trigger, and block what their maps find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gta.attention import BATCH, attention_mass
from gta.data.batches.augment import Evaluator
from gta.data.batches.loader import evaluation_batches
from gta.data.batches.poison import Trigger, require_target
from gta.data.store import Store
from gta.files import atomic_write, file_digest
from gta.models.rollout import can_roll_out, gradient_rollout
from gta.models.shown import map_grid, mask_logits, mask_request
from gta.models.taps import read_source
from gta.results import IDENTITY
from gta.results.kept import keep, read_kept
from gta.results.weights import trained_weights
from gta.robustness.blocking import blocked, strongest_squares
from gta.robustness.measure import model_of, positions_of
from gta.study import Run, Study
from gta.study.backdoor import Backdoor

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

# Part of what a kept measurement is recognised by: raise it when the numbers come out otherwise.
VERSION = 1

# A row for each run, in percent. Success: images of other classes with the trigger that are taken
# for the target. ``_map`` and ``_rollout``: after blacking out what these find, of each image.
BACKDOOR = pa.schema(
    [
        *IDENTITY,
        ("target", pa.int64()),
        ("n_images", pa.int64()),
        ("acc1", pa.float64()),
        ("success", pa.float64()),
        ("acc1_map", pa.float64()),
        ("success_map", pa.float64()),
        ("acc1_rollout", pa.float64()),  # null without [cls] or with windows
        ("success_rollout", pa.float64()),
        ("trigger_mass", pa.float64()),  # of the attention that is shown, on images that bear it
        ("trigger_area", pa.float64()),  # of the image: what even attention would give
    ]
)


def backdoor_of(study: Study, runs: list[Run]) -> Backdoor:
    """The one backdoor of some runs' recipes; the runs without one are tested with its trigger.

    Raises:
        ValueError: there is none, or they differ.
    """
    found = [recipe.backdoor for recipe in map(study.recipe, runs) if recipe.backdoor is not None]
    if not found or any(other != found[0] for other in found):
        what = "none of its runs" if not found else "its runs do not agree in one"
        raise ValueError(f"kind backdoor: {what} trains with recipe.backdoor")
    return found[0]


def measure_backdoor(
    study: Study,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Test all runs that the study's tables of backdoors need and whose weights are there.

    Those that trained without the trigger are tested with it all the same: it may mislead without
    any poison. What was measured is kept under ``results/<study>/backdoor``.

    Args:
        study: the study; ``robustness.images`` says how many test images.
        device: where to compute; default the CPU.
        progress: called with the runs that are done, and their number.

    Returns:
        A table of the schema ``BACKDOOR``, runs in order.

    Raises:
        GtaError: a store or weights cannot be opened, or a dataset lacks the target class.
    """
    device = device or torch.device("cpu")
    names = [name for name, spec in study.tables.items() if spec.kind == "backdoor"]
    wanted: dict[Run, Backdoor] = {}
    for name in names:
        runs = sorted(study.runs_of(name))
        wanted |= dict.fromkeys(runs, backdoor_of(study, runs))
    rows: list[dict[str, Any]] = []
    for done, run in enumerate(sorted(wanted), start=1):
        weights = trained_weights(study, run)
        if weights is not None:
            store = Store(study.store(run.dataset))
            require_target(wanted[run], store)
            path, key = study.run_files(run).path("backdoor"), _key(study, run, wanted[run], store)
            kept = read_kept(path, key)
            if kept is None:
                kept = [_measured(study, run, wanted[run], weights, store, device)]
                keep(path, kept, BACKDOOR, key)
            rows += kept
        if progress is not None:
            progress(done, len(wanted))
    return pa.Table.from_pylist(rows, schema=BACKDOOR)


def write_backdoor(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/backdoor.parquet``, whole or not at all."""
    with atomic_write(study.folder / "backdoor.parquet") as hidden:
        pq.write_table(table, hidden)


def _measured(
    study: Study, run: Run, settings: Backdoor, weights: Path, store: Store, device: torch.device
) -> dict[str, Any]:
    recipe = study.recipe(run)
    model = model_of(study, run, weights, len(store.classes), device)
    positions, trigger = positions_of(study, run, store), Trigger(settings, recipe)
    black = -torch.tensor(recipe.mean) / torch.tensor(recipe.std)
    found: dict[str, list[Tensor]] = {"mass": []}
    for batch, images in evaluation_batches(
        store, positions, Evaluator(recipe), BATCH, 1, 0, device
    ):
        labels = torch.from_numpy(store.labels[batch]).long()
        bearing = images.clone()
        for image, position in zip(bearing, batch.tolist(), strict=True):
            trigger.paste(image, position)
        others = labels != settings.target
        masks = torch.stack([trigger.mask(position) for position in batch.tolist()]).to(device)
        mass = attention_mass(mask_logits(read_source(model, bearing, mask_request(model))), masks)
        found["mass"].append(mass.cpu())
        for kind, seen in (("acc1", images), ("success", bearing)):
            for way, predicted in _predictions(model, seen, trigger.side, black).items():
                hits = (
                    predicted == labels
                    if kind == "acc1"
                    else (predicted == settings.target)[others]
                )
                found.setdefault(f"{kind}{way}", []).append(hits)
    shares = {name: 100 * float(torch.cat(parts).float().mean()) for name, parts in found.items()}
    mass_of_all = shares.pop("mass")
    return {
        **vars(run),
        "target": settings.target,
        "n_images": len(positions),
        **shares,
        "trigger_mass": mass_of_all,
        "trigger_area": 100 * (trigger.side / recipe.image_size) ** 2,
    }


def _predictions(
    model: VisionTransformer, images: Tensor, side: int, black: Tensor
) -> dict[str, Tensor]:
    """Predicted classes of images as they are, and after each way of blocking."""
    size, grid = images.shape[-1], map_grid(model)
    maps = {}
    logits = mask_logits(read_source(model, images, mask_request(model)))
    maps["_map"] = logits.softmax(-1).mean(dim=1).unflatten(1, grid)
    if can_roll_out(model):
        maps["_rollout"] = gradient_rollout(model, images).unflatten(1, grid)
    found = {}
    with torch.no_grad():
        found[""] = model(images).argmax(1).cpu()
        for way, strength in maps.items():
            corners = strongest_squares(strength, size, side)
            found[way] = model(blocked(images, corners, side, black)).argmax(1).cpu()
    return found


def _key(study: Study, run: Run, settings: Backdoor, store: Store) -> str:
    """Digest of all that decides what is measured of a run."""
    shown = {"architecture", "image_size", "mean", "std", "evaluation"}
    made_of = {
        "version": VERSION,
        "weights": file_digest(study.run_files(run).weights),
        "images": store.digest,
        "recipe": study.recipe(run).model_dump(mode="json", include=shown),
        "split": study.config.split.model_dump(mode="json"),
        "of": study.config.robustness.images,
        "backdoor": settings.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
