"""Test averages of finished runs' weights, and keep what was measured."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gta.averages.weights import interpolate, soup
from gta.data.batches.augment import Evaluator
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.files import atomic_write, file_digest
from gta.models.parts import add_parts
from gta.models.sources import read_weights
from gta.models.vit import create
from gta.results import IDENTITY
from gta.results.kept import keep, read_kept
from gta.results.weights import trained_weights
from gta.study import Run, Study
from gta.train.evaluate import evaluate_each

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

PROBE = "linear_probe"
ALPHAS = tuple(step / 10 for step in range(11))
# Part of what a kept measurement is recognised by: raise it when the numbers come out otherwise.
VERSION = 1

# A row for each run and alpha, and one for each soup; accuracies in percent, loss in nats.
AVERAGES = pa.schema(
    [
        *[field for field in IDENTITY if field.name != "seed"],
        ("seed", pa.int64()),  # null: a soup of all seeds
        ("alpha", pa.float64()),  # 0: the linear probe, 1: the run; null for a soup
        ("acc1", pa.float64()),
        ("heldout_acc1", pa.float64()),  # null for a soup: what one seed holds out, others train on
        ("loss", pa.float64()),
        ("attention_mass", pa.float64()),  # null without masks
    ]
)


def measure_averages(
    study: Study,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Test the averages that the study's figures need and whose weights are there.

    Each run but the linear probes is interpolated with the probe of the same dataset, rate, source
    and seed. The seeds of a cell are averaged where their heads start equal, that is where
    ``recipe.head_init_std`` is 0. What was measured is kept under ``results/<study>/averages``
    and read again as long as it was made of the same weights and images.

    Args:
        study: the study.
        device: where to compute; default the CPU.
        progress: called with the cells that are done, and their number.

    Returns:
        A table of the schema ``AVERAGES``, cells in order.

    Raises:
        GtaError: a store or weights cannot be opened, or weights cannot be averaged.
    """
    device = device or torch.device("cpu")
    wanted = sorted(
        run
        for name, spec in study.specs.items()
        if study.kind(name).name == "interpolation"
        for run in study.runs_of(name)
    )
    cells: dict[Run, list[Run]] = defaultdict(list)
    for run in dict.fromkeys(wanted):
        if run.method != PROBE:
            cells[replace(run, seed=0)].append(run)
    # of several at one place, whose learning rates differ, the first
    probes = {_place(run): run for run in reversed(wanted) if run.method == PROBE}
    rows: list[dict[str, Any]] = []
    for done, runs in enumerate(cells.values(), start=1):
        rows += _of_cell(study, runs, probes, device)
        if progress is not None:
            progress(done, len(cells))
    return pa.Table.from_pylist(rows, schema=AVERAGES)


def write(study: Study, table: pa.Table) -> None:
    """Write ``results/<study>/averages.parquet``, whole or not at all."""
    with atomic_write(study.folder / "averages.parquet") as hidden:
        pq.write_table(table, hidden)


def _place(run: Run) -> tuple[Any, ...]:
    """Fields that a run and its probe share."""
    return run.dataset, run.rate, run.source, run.seed


def _of_cell(
    study: Study, runs: Sequence[Run], probes: Mapping[Any, Run], device: torch.device
) -> list[dict[str, Any]]:
    """Rows of the seeds of one cell and lambda: kept ones, or measured and kept."""
    files: dict[Run, Path] = {}
    pairs: list[tuple[Run, Run]] = []
    for run in runs:
        probe = probes.get(_place(run))
        for one in filter(None, (run, probe)):
            if (path := trained_weights(study, one)) is not None:
                files[one] = path
        if run in files and probe in files and probe is not None:
            pairs.append((run, probe))
    members = [run for run in runs if run in files]
    if not members:
        return []
    store = Store(study.store(runs[0].dataset))
    key, place = _key(study, members, files, store), study.run_files(runs[0]).path("averages")
    rows = read_kept(place, key)
    if rows is not None:
        return rows
    weights = {run: read_weights(path) for run, path in files.items()}
    rows = []
    for run, probe in pairs:
        try:
            models = [interpolate(weights[probe], weights[run], alpha) for alpha in ALPHAS]
        except GtaError as error:
            raise GtaError(f"{study.title(run)} and its linear probe: {error}") from None
        found = _tested(study, run, models, store, device, heldout=True)
        rows += [{**about, "alpha": alpha} for about, alpha in zip(found, ALPHAS, strict=True)]
    if len(members) == len(runs) > 1 and study.recipe(runs[0]).head_init_std == 0:
        mean = soup([weights[run] for run in runs])
        (about,) = _tested(study, runs[0], [mean], store, device, heldout=False)
        rows.append({**about, "seed": None})
    keep(place, rows, AVERAGES, key)
    return rows


def _tested(
    study: Study,
    run: Run,
    weights: Sequence[Mapping[str, Tensor]],
    store: Store,
    device: torch.device,
    heldout: bool,
) -> list[dict[str, Any]]:
    """A row for each model, tested on a run's test images and, if asked for, its held-out ones."""
    recipe, subset = study.recipe(run), subset_of(study, run, store)
    models = [_model(study, run, one, device) for one in weights]
    recipes, view = [recipe] * len(models), Evaluator(recipe)
    test = evaluate_each(models, recipes, store, subset.test, view, device)
    held: list[float | None] = [None] * len(models)
    if heldout and subset.heldout.size:
        positions = subset.heldout
        seen = evaluate_each(models, recipes, store, positions, view, device, with_mass=False)
        held = [one.acc1 for one in seen]
    return [
        {
            **{field: getattr(run, field) for field in IDENTITY.names},
            "acc1": found.acc1,
            "heldout_acc1": accuracy,
            "loss": found.loss,
            "attention_mass": found.attention_mass,
        }
        for found, accuracy in zip(test, held, strict=True)
    ]


def _model(
    study: Study, run: Run, weights: Mapping[str, Tensor], device: torch.device
) -> VisionTransformer:
    """A model with these weights, head included."""
    recipe = study.recipe(run)
    head = weights["head.weight"] if "head.weight" in weights else weights["head.fc.weight"]
    model = create(recipe.architecture, recipe.image_size, len(head))
    add_parts(model, weights)
    model.load_state_dict(weights)
    return model.to(device).eval()


def _key(study: Study, members: Sequence[Run], files: Mapping[Run, Path], store: Store) -> str:
    """Digest of all that decides the rows of a cell."""
    shown = {"architecture", "image_size", "mean", "std", "evaluation", "head_init_std"}
    made_of = {
        "version": VERSION,
        "alphas": ALPHAS,
        "members": [run.name for run in members],
        "weights": {run.name: file_digest(path) for run, path in sorted(files.items())},
        "images": store.digest,
        "recipe": study.recipe(members[0]).model_dump(mode="json", include=shown),
        "split": study.config.split.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
