"""Robustness of finished runs: corrupted test images and the scores of predictions on them."""

from gta.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from gta.robustness.scores import aurra, calibration_error, relative_corruption_error

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "aurra",
    "calibration_error",
    "corrupt",
    "relative_corruption_error",
]
