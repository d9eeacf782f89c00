"""Scores of predictions: calibration, refusal and error under corruption."""

from __future__ import annotations

from collections.abc import Mapping

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


def relative_corruption_error(errors: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Mean over corruptions of the error in percent of a reference method's (mCE).

    Hendrycks and Dietterich, ICLR 2019, section 4.2, with the study's fine-tuning in the place of
    AlexNet.

    Args:
        errors: by corruption, mean over severities.
        reference: of the reference method, for the same corruptions.

    Returns:
        100 where both are equally wrong; NaN where the reference makes no error under some
        corruption.
    """
    ratios = [errors[name] / reference[name] if reference[name] else np.nan for name in errors]
    return 100 * float(np.mean(ratios))
