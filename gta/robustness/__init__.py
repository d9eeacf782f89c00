"""Robustness of finished runs: corrupted test images and the scores of predictions on them."""

from gta.robustness.backdoor import BACKDOOR, measure_backdoor, write_backdoor
from gta.robustness.corruptions import corrupt
from gta.robustness.measure import ROBUSTNESS, measure_robustness, write
from gta.robustness.scores import aurra, calibration_error

__all__ = [
    "BACKDOOR",
    "ROBUSTNESS",
    "aurra",
    "calibration_error",
    "corrupt",
    "measure_backdoor",
    "measure_robustness",
    "write",
    "write_backdoor",
]
