"""One training run from source weights to metrics, and the job that does a pack of them."""

from __future__ import annotations

import json
import math
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gta import methods, mixing, results
from gta.data.augment import Augmenter, Evaluator
from gta.data.sampler import BatchStream
from gta.data.seeds import Stream, derive
from gta.data.splits import Subset, subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.evaluate import evaluate
from gta.methods import Method, Step
from gta.models.sources import load_backbone, load_source, read_weights
from gta.models.taps import Readings, TapRequest, Taps, read_source
from gta.models.vit import create, initialise_head
from gta.study import Recipe, Run, Study

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Progress = Callable[[Run, int, int], None]  # run, iterations done, iterations in all

_REMEDY = "lower recipe.lr or the penalty's lambda"


@dataclass
class Trained:
    """The end of a training loop.

    Attributes:
        model: with its final weights.
        history: a row an iteration.
        seconds: of the loop.
    """

    model: VisionTransformer
    history: list[dict[str, float | int | None]]
    seconds: float


def train_runs(
    study: Study,
    runs: Iterable[Run],
    device: str = "auto",
    progress: Progress | None = None,
) -> None:
    """Train runs one after another; those whose results are valid are left as they are.

    A run that fails leaves its reason beside what it had before and does not stop the others.

    Args:
        study: the study.
        runs: which of its runs.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: called after each iteration.

    Raises:
        GtaError: at the end, if a run failed; at once, if data or source cannot be opened.
    """
    where = pick_device(device)
    runs = list(runs)
    stores = {name: Store(study.store(name)) for name in dict.fromkeys(r.dataset for r in runs)}
    sources = {
        name: results.file_digest(study.weights(name))
        for name in dict.fromkeys(r.source for r in runs)
    }
    failed: dict[Run, str] = {}
    for run in runs:
        store = stores[run.dataset]
        origin = results.Origin(store.digest, sources[run.source])
        failure = results.failure_path(study, run)
        if results.state(study, run, origin).state == "done":
            # Says to Snakemake that the result was checked against today's inputs.
            study.path("metrics", run).touch()
            failure.unlink(missing_ok=True)
            continue
        try:
            train_run(study, run, store, origin, where, progress)
        except GtaError as error:
            failed[run] = str(error)
            results.write_text(failure, f"{error}\n")
        else:
            failure.unlink(missing_ok=True)
    if failed:
        first, reason = next(iter(failed.items()))
        raise GtaError(f"{len(failed)} run(s) failed; the first, {study.title(first)}: {reason}")


def train_run(
    study: Study,
    run: Run,
    store: Store,
    origin: results.Origin,
    device: torch.device,
    progress: Progress | None = None,
) -> None:
    """Train and test one run and write all that it leaves, its metrics last.

    Raises:
        GtaError: if the loss is not finite, the source does not fit, or a file cannot be
            written.
    """
    recipe = study.recipe(run)
    subset = subset_of(study, run, store)
    trained = fit(study, run, recipe, store, subset, device, progress)
    evaluator = Evaluator(recipe)
    test = evaluate(trained.model, store, subset.test, evaluator, device)
    if not math.isfinite(test.loss):  # the last step may break the weights
        raise GtaError(f"the test loss is {test.loss:g} after the last iteration; {_REMEDY}")
    rows = test.rows("test")
    heldout = None
    if subset.heldout.size:
        heldout = evaluate(trained.model, store, subset.heldout, evaluator, device, with_mass=False)
        rows += heldout.rows("heldout")
    results.write(study, "history", run, trained.history)
    results.write(study, "predictions", run, rows)
    if study.keeps_weights(run):
        save_weights(study.path("models", run), trained.model, run, study.digest(run))
    metrics: dict[str, Any] = {
        "acc1": test.acc1,
        "loss": test.loss,
        "heldout_acc1": heldout.acc1 if heldout else None,
        "heldout_loss": heldout.loss if heldout else None,
        "n_train": len(subset.train),
        "n_test": len(subset.test),
        "n_heldout": len(subset.heldout),
        "iterations": recipe.iterations,
        "seconds": trained.seconds,
        "images_per_second": recipe.iterations * recipe.batch_size / trained.seconds,
        "peak_memory_mb": _peak_memory(device),
        "device": _device_name(device),
        "precision": recipe.precision,
        "attention_mass": test.attention_mass,
        "recipe_digest": study.digest(run),
        "data_digest": origin.data,
        "source_digest": origin.source,
        "versions": _versions(),
        "git_commit": _git_commit(),
        "finished_at": datetime.now(UTC).replace(microsecond=0),
    }
    results.write(study, "metrics", run, [metrics])


def fit(
    study: Study,
    run: Run,
    recipe: Recipe,
    store: Store,
    subset: Subset,
    device: torch.device,
    progress: Progress | None = None,
) -> Trained:
    """The training loop: cross entropy plus the method's penalty, AdamW, cosine schedule.

    Raises:
        GtaError: if the loss is not finite, with the iteration and the terms of the loss.
    """
    weights_path = study.weights(run.source)
    weights = read_weights(weights_path)
    method = methods.create(run.method, **study.method_settings(run.method))
    mixing_settings = recipe.transmix.model_dump() if run.mix == "transmix" else {}
    mix = mixing.MIXES[run.mix](**mixing_settings)
    model = create(recipe.architecture, recipe.image_size, len(store.classes), recipe.drop_path)
    load_backbone(model, weights, weights_path)
    initialise_head(model, recipe.head_init_std, run.seed)
    model.to(device).train()
    source = None
    if method.source_taps is not None:
        source = load_source(weights_path, recipe.architecture, recipe.image_size).to(device)
    anchors = {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if not name.startswith("head.")
    }
    optimiser = build_optimiser(model, method, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    stream = BatchStream(len(subset.train), recipe.batch_size, run.seed)
    augmenter = Augmenter(recipe, run.seed)
    request = (method.taps or TapRequest()) | (mix.taps or TapRequest())
    history: list[dict[str, float | int | None]] = []
    evaluator = Evaluator(recipe)
    every = study.config.heldout_every if subset.heldout.size else 0

    def heldout_acc1(iteration: int) -> float | None:
        if not every or (iteration + 1) % every:
            return None
        found = evaluate(model, store, subset.heldout, evaluator, device, with_mass=False)
        return found.acc1

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with Taps(model, request) if request != TapRequest() else nullcontext() as taps:
        for iteration in range(recipe.iterations):
            positions = subset.train[stream.batch(iteration)]
            images = augmenter(store.images(positions), iteration).to(device)
            labels = torch.from_numpy(store.labels[positions]).long().to(device)
            torch.manual_seed(derive(run.seed, Stream.DROP_PATH, iteration))
            generator = torch.Generator().manual_seed(derive(run.seed, Stream.MIXING, iteration))
            mixed = mix(images, labels, generator)
            with _autocast(recipe, device):
                logits = model(mixed.images)
                target = taps.take() if taps is not None else Readings()
                constant = None
                if source is not None and method.source_taps is not None:
                    constant = read_source(source, mixed.images, method.source_taps)
            terms = {
                "cross_entropy": mix.cross_entropy(logits, mixed, target, recipe.label_smoothing)
            }
            try:
                terms |= method.terms(Step(model, target, constant, anchors), run.lam)
            except torch.linalg.LinAlgError as error:  # a decomposition of what is not finite
                check_finite(_values(terms), iteration)
                raise GtaError(f"iteration {iteration}: {run.method}: {error}") from None
            loss = torch.stack(tuple(terms.values())).sum()
            lr = learning_rate(recipe, iteration)
            for group in optimiser.param_groups:
                group["lr"] = lr * group["lr_multiple"]
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            # The one wait for the device in an iteration.
            values = _values({**terms, "acc1": (logits.argmax(1) == labels).float().mean()})
            acc1 = 100 * values.pop("acc1")
            check_finite(values, iteration)
            cross_entropy, *penalties = values.values()
            history.append(
                {
                    "iteration": iteration,
                    "lr": lr,
                    "cross_entropy": cross_entropy,
                    "penalty": sum(penalties),
                    "train_acc1": acc1,
                    "heldout_acc1": heldout_acc1(iteration),
                }
            )
            if progress is not None:
                progress(run, iteration + 1, recipe.iterations)
    return Trained(model, history, time.perf_counter() - start)


def check_finite(terms: Mapping[str, float], iteration: int) -> None:
    """Stop at a loss, the sum of ``terms``, that is not a number.

    Raises:
        GtaError: with the iteration and each term.
    """
    if math.isfinite(sum(terms.values())):
        return
    said = ", ".join(f"{name} {term:g}" for name, term in terms.items())
    raise GtaError(f"the loss is not finite at iteration {iteration} ({said}); {_REMEDY}")


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """Linear warm-up, then a cosine from ``lr`` down to ``min_lr``."""
    warmup = recipe.warmup_iterations
    if iteration < warmup:
        return recipe.lr * (iteration + 1) / warmup
    share = (iteration - warmup) / (recipe.iterations - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * share)) / 2


def build_optimiser(model: VisionTransformer, method: Method, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over the parameters that the method trains; the others are frozen.

    As in DeiT, biases, norms, the [cls] token and position embeddings do not decay.
    """
    exempt = model.no_weight_decay()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(method.trains(name))
        if parameter.requires_grad:
            decays = method.weight_decay and parameter.ndim > 1 and name not in exempt
            groups.setdefault((name.startswith("head."), decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "lr_multiple": recipe.head_lr_multiple if head else 1.0,
            }
            for (head, decays), parameters in groups.items()
        ],
        lr=recipe.lr,
        betas=recipe.betas,
    )


def save_weights(path: Path, model: VisionTransformer, run: Run, digest: str) -> None:
    """Write a trained model as safetensors, its run and recipe digest in the metadata."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    with results.whole(path) as hidden:
        save_file(weights, hidden, metadata={"run": run.name, "recipe_digest": digest})


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        GtaError: if it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise GtaError(f"device {name!r} cannot be used: {reason}; try `auto`") from None
    return device


def _values(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    stacked = torch.stack([scalar.detach().float() for scalar in scalars.values()])
    return dict(zip(scalars, stacked.tolist(), strict=True))


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, recipe.precision))


def _peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu x {torch.get_num_threads()}"


@cache
def _versions() -> str:
    packages = ("gta", "torch", "torchvision", "timm", "numpy")
    found = {name: version(name) for name in packages}
    return json.dumps({"python": platform.python_version(), **found})


@cache
def _git_commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
