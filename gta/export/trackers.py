"""A study's results for other tools: CSV, TensorBoard, MLflow. One way, nothing is read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from gta.errors import GtaError
from gta.interface import RunResults, StudyResults
from gta.study import RUN_FIELDS

SCALARS = ("acc1", "loss", "heldout_acc1", "heldout_loss", "seconds", "attention_mass")


def export_study(
    study: StudyResults, target: str, out: Path, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write the results of all runs that are done.

    Args:
        study: the study.
        target: one of ``TARGETS``.
        out: the folder; made where missing.
        progress: called with runs done and in all.

    Returns:
        The files or folders written.

    Raises:
        GtaError: if no run is done, or the target's package is missing.
    """
    if target not in TARGETS:
        raise GtaError(f"--to: {target!r} is not one of {', '.join(TARGETS)}")
    done = [run for run in study.runs() if run.state == "done"]
    if not done:
        raise GtaError(f"study {study.name}: no run is done; nothing to export")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GtaError(f"cannot be made: {error.strerror}", where=out) from None
    return TARGETS[target](study, done, out, progress or (lambda done, total: None))


def _to_csv(
    study: StudyResults,
    runs: list[RunResults],
    out: Path,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """``metrics.csv``, ``history.csv``, ``best.csv`` and a file a table."""
    frames: dict[str, pd.DataFrame] = {
        "metrics": study.metrics,
        "history": study.history(),
        "best": pd.concat(study.best(rule).assign(rule=rule) for rule in ("heldout", "test")),
    }
    for name in study.tables:
        try:
            frames[f"table-{name}"] = study.table(name)
        except GtaError:  # what it is made of is not there yet
            continue
    written = []
    for number, (name, frame) in enumerate(frames.items(), start=1):
        written.append(out / f"{name}.csv")
        frame.to_csv(written[-1], index=False)
        progress(number, len(frames))
    return written


def _to_tensorboard(
    study: StudyResults,
    runs: list[RunResults],
    out: Path,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """A run's curves below ``<cell>/seed=<n>``, so that TensorBoard groups the seeds."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise GtaError(
            "tensorboard is not installed", remedy="pip install 'gta[trackers]'"
        ) from None
    for number, run in enumerate(runs, start=1):
        *cell, seed = (f"{field}={run.run.text(field)}" for field in RUN_FIELDS)
        writer = SummaryWriter(str(out / ",".join(cell) / seed))
        history = run.history
        for column in history.columns.drop("iteration"):
            for step, value in history[["iteration", column]].dropna().itertuples(index=False):
                writer.add_scalar(f"train/{column}", value, int(step))
        for name in SCALARS:
            if run.metrics[name] is not None:
                writer.add_scalar(f"final/{name}", run.metrics[name], run.metrics["iterations"])
        writer.close()
        progress(number, len(runs))
    return [out]


def _to_mlflow(
    study: StudyResults,
    runs: list[RunResults],
    out: Path,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """An experiment in a local store: a parent run a cell, a nested run a seed."""
    try:
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise GtaError("mlflow is not installed", remedy="pip install 'gta[trackers]'") from None
    client = MlflowClient(tracking_uri=f"sqlite:///{out.absolute() / 'mlflow.db'}")
    found = client.get_experiment_by_name(study.name)
    experiment = (
        found.experiment_id
        if found
        else client.create_experiment(
            study.name, artifact_location=(out.absolute() / "artifacts").as_uri()
        )
    )
    parents: dict[str, str] = {}
    for number, run in enumerate(runs, start=1):
        cell, _, seed = run.name.rpartition("/")
        at = int(run.metrics["finished_at"].timestamp() * 1000)
        if cell not in parents:
            parent = client.create_run(experiment, start_time=at, run_name=cell)
            parents[cell] = parent.info.run_id
            client.set_terminated(parent.info.run_id)
        tags = {"mlflow.parentRunId": parents[cell], "gta.recipe": run.metrics["recipe_digest"]}
        made = client.create_run(experiment, start_time=at, run_name=seed, tags=tags)
        params = [Param(field, run.run.text(field)) for field in RUN_FIELDS]
        metrics = [
            Metric(name, float(run.metrics[name]), at, run.metrics["iterations"])
            for name in SCALARS
            if run.metrics[name] is not None
        ]
        history = run.history
        metrics += [
            Metric(column, float(value), at, int(step))
            for column in ("cross_entropy", "penalty", "train_acc1")
            for step, value in history[["iteration", column]].itertuples(index=False)
        ]
        device = RunTag("gta.device", run.metrics["device"])
        for start in range(0, len(metrics), 1000):  # the most that a call takes
            client.log_batch(made.info.run_id, metrics[start : start + 1000], params, [device])
            params = []
        client.set_terminated(made.info.run_id)
        progress(number, len(runs))
    return [out / "mlflow.db"]


TARGETS = MappingProxyType({"csv": _to_csv, "mlflow": _to_mlflow, "tensorboard": _to_tensorboard})
