"""Speed of a device for a study's work, by its data sheet or by finished runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapreplace
from math import inf

from gta.catalog import ACCELERATORS, UTILISATION
from gta.errors import GtaError
from gta.plan.work import Estimator, Work
from gta.results import read_part
from gta.study import Run


@dataclass(frozen=True)
class Speed:
    """A device at work.

    Attributes:
        name: of the device.
        precision: what it computes in.
        basis: what the numbers rest on.
        training, source, testing: FLOP/s.
        augmentation: images a second; infinite where that is not known.
    """

    name: str
    precision: str
    basis: str
    training: float
    source: float
    testing: float
    augmentation: float = inf

    def hours(self, work: Work) -> float:
        """Hours for some work, one thing after the other."""
        seconds = (
            work.training_flops / self.training
            + work.source_flops / self.source
            + work.testing_flops / self.testing
            + work.augmented / self.augmentation
        )
        return seconds / 3600

    def wall(self, jobs: Iterable[Work], devices: int = 1) -> float:
        """Hours until the last job is done, where devices like this one take the longest first."""
        ends = [0.0] * devices
        for hours in sorted(map(self.hours, jobs), reverse=True):
            heapreplace(ends, ends[0] + hours)
        return max(ends)


def of_datasheets(
    names: Iterable[str], utilisation: float = UTILISATION, tf32: bool = False
) -> list[Speed]:
    """Devices by name, at an assumed share of their peaks; one entry for each precision.

    Args:
        names: of ``gta.catalog.ACCELERATORS``.
        utilisation: share of the peak that training, sources and tests reach.
        tf32: whether float32 products may round to TF32, as the recipe's ``tf32`` says.

    Raises:
        GtaError: if a device is not known.
    """
    speeds = []
    for name in names:
        if name not in ACCELERATORS:
            raise GtaError(f"there is no device {name!r}; known: {', '.join(ACCELERATORS)}")
        info = ACCELERATORS[name]
        for precision in info.tflops:
            basis = f"estimate: {100 * utilisation:g} % of its peak"
            rate = utilisation * info.peak(precision, tf32) * 1e12
            speeds.append(Speed(info.title, precision, basis, rate, rate, rate))
    return speeds


def of_runs(estimator: Estimator, done: Iterable[Run]) -> list[Speed]:
    """Devices that have trained runs of the study, by the time that these took.

    Args:
        estimator: of the study.
        done: runs whose metrics are there.

    Raises:
        GtaError: if metrics cannot be read.
    """
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    trained: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in done:
        row = read_part(estimator.study.run_files(run), "metrics").to_pylist()[0]
        device = row["device"], row["precision"]
        seconds[device] += row["seconds"]
        trained[device].append(run)
    return [
        _of_runs(device, estimator.of(runs), seconds[device], len(runs))
        for device, runs in trained.items()
        if seconds[device] > 0
    ]


def _of_runs(device: tuple[str, str], work: Work, seconds: float, runs: int) -> Speed:
    rate = (work.training_flops + work.source_flops) / seconds
    name, precision = device
    return Speed(name, precision, f"{runs:,} runs that are done", rate, rate, rate)
