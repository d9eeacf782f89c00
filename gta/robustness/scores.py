"""Scores of predictions: calibration and refusal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15


def calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Root mean square calibration error, in percent.

    Predictions are sorted by confidence and cut into bins of equal size; of each bin, mean
    confidence and accuracy are compared (Hendrycks et al., Natural Adversarial Examples, CVPR 2021,
    whose code leaves the last bin out).

    Args:
        confidence: (n,) softmax of the predicted class.
        correct: (n,) whether it is right.
        bins: at most n are used.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    squares = [len(p) * (confidence[p].mean() - correct[p].mean()) ** 2 for p in parts]
    return 100 * float(np.sqrt(np.sum(squares) / len(order)))


def aurra(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    """Area under the response rate accuracy curve, in percent.

    The mean over k of the accuracy of the k most confident predictions (Hendrycks et al., CVPR
    2021).

    Args:
        confidence: (n,) softmax of the predicted class.
        correct: (n,) whether it is right.
    """
    order = np.argsort(-confidence, kind="stable")
    responses = np.arange(1, len(order) + 1)
    return 100 * float(np.mean(np.cumsum(correct[order]) / responses))
