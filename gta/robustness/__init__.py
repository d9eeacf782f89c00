"""Robustness of finished runs: corrupted test images and the scores of predictions on them."""

from gta.robustness.corruptions import corrupt
from gta.robustness.measure import ROBUSTNESS, measure_robustness, write
from gta.robustness.scores import aurra, calibration_error

__all__ = [
    "ROBUSTNESS",
    "aurra",
    "calibration_error",
    "corrupt",
    "measure_robustness",
    "write",
]
