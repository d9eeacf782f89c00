"""Cost estimate of a study: images through models, hours, bytes."""

from gta.plan.calibration import Calibration, calibrate
from gta.plan.disk import Space, disk
from gta.plan.sizes import Size, size_of
from gta.plan.speed import Speed, of_datasheets, of_runs
from gta.plan.work import Estimator, Work

__all__ = [
    "Calibration",
    "Estimator",
    "Size",
    "Space",
    "Speed",
    "Work",
    "calibrate",
    "disk",
    "of_datasheets",
    "of_runs",
    "size_of",
]
