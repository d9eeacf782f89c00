"""Scores against loops over predictions."""

from __future__ import annotations

import numpy as np
import pytest

from gta.robustness import aurra, calibration_error


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    confidence = random.random(47).astype(np.float32)
    return confidence, random.random(47) < confidence


def test_aurra_is_the_mean_accuracy_of_the_most_confident(predictions):
    confidence, correct = predictions
    order = sorted(range(47), key=lambda i: -confidence[i])
    expected = np.mean([np.mean([correct[i] for i in order[:k]]) for k in range(1, 48)])
    assert aurra(confidence, correct) == pytest.approx(100 * expected)


def test_calibration_error_of_equal_bins(predictions):
    confidence, correct = predictions
    order = sorted(range(47), key=lambda i: confidence[i])
    sizes = [10, 10, 9, 9, 9]
    total, begin = 0.0, 0
    for size in sizes:
        members = order[begin : begin + size]
        gap = np.mean([confidence[i] for i in members]) - np.mean([correct[i] for i in members])
        total += size * gap**2
        begin += size
    expected = 100 * np.sqrt(total / 47)
    assert calibration_error(confidence, correct, bins=5) == pytest.approx(expected, rel=1e-5)


def test_certain_and_right_is_calibrated():
    assert calibration_error(np.ones(8), np.ones(8, bool)) == 0
    assert calibration_error(np.ones(3), np.zeros(3, bool)) == 100
    assert aurra(np.ones(8), np.ones(8, bool)) == 100
