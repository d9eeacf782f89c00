"""The metrics of a run: each declared once, its column and how it is computed.

To add one to the package, add an entry to ``METRICS_OF_RUNS``. To add one from outside, decorate a
function in a file that a config's ``own_kinds`` names; training writes it, and the kind of table in
that file, or any other, asks for it with ``metrics``::

    from gta.results.columns import FLOAT, Column
    from gta.results.metrics import metric


    @metric(Column("confidence", FLOAT, "mean confidence on the test set", nullable=True))
    def confidence(outcome):
        return float(outcome.test.confidence.mean())

A run that was trained before the metric was added has none: the column is null, and the run done.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from gta import __version__
from gta.errors import GtaError
from gta.results.columns import FLOAT, INT, TEXT, Column, schema_of
from gta.results.origins import Origin
from gta.study import Recipe, RunFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gta.data.splits import Subset


class Tested(Protocol):
    """A model's predictions on some images; ``gta.train.evaluate.Evaluated`` says what they are."""

    @property
    def label(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def prediction(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def confidence(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def acc1(self) -> float: ...  # noqa: D102
    @property
    def loss(self) -> float: ...  # noqa: D102
    @property
    def attention_mass(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """Outcome of training and testing a run; metrics are computed from it.

    Attributes:
        run_files: the run, its files and its recipe's digest.
        recipe: its settings.
        subset: its images.
        test: predictions on the test images.
        heldout: predictions on the held-out images, if there are any.
        origin: the data and source that it was trained on.
        seconds: time of training.
        skipped: iterations that float16 skipped; None in other types.
        device: name of the device.
        peak_memory: in MiB.
    """

    run_files: RunFiles
    recipe: Recipe
    subset: Subset
    test: Tested
    heldout: Tested | None
    origin: Origin
    seconds: float
    skipped: int | None
    device: str
    peak_memory: float


Compute = Callable[[Outcome], Any]


@dataclass(frozen=True)
class Metric:
    """A column of the metrics, and its value for a run."""

    column: Column
    compute: Compute


def _images_per_second(outcome: Outcome) -> float:
    return outcome.recipe.iterations * outcome.recipe.batch_size / outcome.seconds


@cache
def _versions() -> str:
    packages = ("torch", "torchvision", "timm", "numpy")
    found = {name: version(name) for name in packages}
    # gta's own from the code: it may run from a checkout that is not installed
    return json.dumps({"python": platform.python_version(), "gta": __version__, **found})


@cache
def _git_commit() -> str:
    """The commit of the code; ``GTA_COMMIT`` names that of a copy without its repository."""
    if given := os.environ.get("GTA_COMMIT"):
        return given
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


METRICS_OF_RUNS = (
    Metric(
        Column(
            "acc1",
            FLOAT,
            "top-1 accuracy on the test set after the last iteration",
            "%",
            low=0,
            high=100,
        ),
        attrgetter("test.acc1"),
    ),
    Metric(
        Column("loss", FLOAT, "cross entropy on the test set", "nats", low=0),
        attrgetter("test.loss"),
    ),
    Metric(
        Column(
            "heldout_acc1", FLOAT, "top-1 accuracy on held-out images", "%", True, low=0, high=100
        ),
        lambda outcome: outcome.heldout and outcome.heldout.acc1,
    ),
    Metric(
        Column("heldout_loss", FLOAT, "cross entropy on held-out images", "nats", True, low=0),
        lambda outcome: outcome.heldout and outcome.heldout.loss,
    ),
    Metric(
        Column("n_train", INT, "images trained on", low=0),
        lambda outcome: len(outcome.subset.train),
    ),
    Metric(
        Column("n_test", INT, "images tested on", low=0), lambda outcome: len(outcome.subset.test)
    ),
    Metric(
        Column("n_heldout", INT, "held-out images", low=0),
        lambda outcome: len(outcome.subset.heldout),
    ),
    Metric(Column("iterations", INT, "iterations trained", low=0), attrgetter("recipe.iterations")),
    Metric(
        Column(
            "seconds",
            FLOAT,
            "of the training loop; runs that train together share them",
            "s",
            low=0,
        ),
        attrgetter("seconds"),
    ),
    Metric(Column("images_per_second", FLOAT, "training images", "1/s", low=0), _images_per_second),
    Metric(
        Column("peak_memory_mb", FLOAT, "of the process (CPU) or the device (GPU)", "MiB", low=0),
        attrgetter("peak_memory"),
    ),
    Metric(Column("device", TEXT, "name of the GPU, or CPU and threads"), attrgetter("device")),
    Metric(
        Column("precision", TEXT, "`float32`, `bfloat16` or `float16`"),
        attrgetter("recipe.precision"),
    ),
    Metric(
        Column(
            "attention_mass",
            FLOAT,
            "share of the last block's [cls] attention on the object, of test images with masks",
            nullable=True,
            low=0,
            high=1,
        ),
        attrgetter("test.attention_mass"),
    ),
    Metric(
        Column(
            "skipped_steps",
            INT,
            "iterations that float16 skipped because its gradients overflowed; null in other types",
            nullable=True,
            low=0,
        ),
        attrgetter("skipped"),
    ),
    Metric(
        Column("recipe_digest", TEXT, "of the settings that decide the run's numbers"),
        attrgetter("run_files.digest"),
    ),
    Metric(Column("data_digest", TEXT, "of the prepared dataset"), attrgetter("origin.data")),
    Metric(
        Column("source_digest", TEXT, "of the source's prepared file"), attrgetter("origin.source")
    ),
    Metric(
        Column("versions", TEXT, "of Python and packages, as a JSON object", json=True),
        lambda outcome: _versions(),
    ),
    Metric(Column("git_commit", TEXT, "of gta, or `unknown`"), lambda outcome: _git_commit()),
    Metric(
        Column("finished_at", pa.timestamp("ms", tz="UTC"), "when the run ended"),
        lambda outcome: datetime.now(UTC).replace(microsecond=0),
    ),
)

METRICS = schema_of(metric.column for metric in METRICS_OF_RUNS)
"""The schema of the package's own metrics."""

_added: dict[str, Metric] = {}


def metric(column: Column) -> Callable[[Compute], Compute]:
    """Add a metric from outside the package: a decorator of the function that computes it.

    Args:
        column: its name, type, meaning and unit; nullable, since older runs have none. A metric
            that was added under the same name is replaced: a file may be imported again.

    Raises:
        ValueError: the package has a metric of this name, or the column is not nullable.
    """
    if column.name in METRICS.names:
        raise ValueError(f"{column.name!r} is a metric of the package; choose another name")
    if not column.nullable:
        raise ValueError(f"metric {column.name!r}: the column must be nullable")

    def add(compute: Compute) -> Compute:
        _added[column.name] = Metric(column, compute)
        return compute

    return add


def remove(name: str) -> None:
    """Take back a metric that was added."""
    _added.pop(name, None)


def metrics() -> tuple[Metric, ...]:
    """The metrics of a run: the package's, then those that were added, in the order of columns."""
    return *METRICS_OF_RUNS, *_added.values()


def metric_columns() -> tuple[Column, ...]:
    """The columns of all metrics."""
    return tuple(metric.column for metric in metrics())


def row_of(outcome: Outcome) -> dict[str, Any]:
    """A run's row of metrics.

    Raises:
        GtaError: a value is one that its column cannot hold.
    """
    row: dict[str, Any] = {}
    for each in metrics():
        value = row[each.column.name] = each.compute(outcome)
        if (fault := each.column.fault(value)) is not None:
            raise GtaError(f"metric {fault}")
    return row
