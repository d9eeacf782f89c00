"""Intervals of paired differences by the two-way random-effects model, and Holm's correction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95

Numbers = NDArray[np.float64]


class MeanSquares(NamedTuple):
    """Mean and mean squares of a two-way layout without replication, (C,) each."""

    mean: Numbers
    seed: Numbers
    image: Numbers
    residual: Numbers


class Interval(NamedTuple):
    """Mean difference, ends of its interval, degrees of freedom and two-sided p, (C,) each."""

    mean: Numbers
    low: Numbers
    high: Numbers
    freedom: Numbers
    p: Numbers


def mean_squares(differences: NDArray[np.integer]) -> MeanSquares:
    """The analysis of variance of C layouts of S seeds by N images, both at least 2.

    Args:
        differences: (C, S, N).
    """
    _, seeds, images = differences.shape
    values = differences.astype(np.float64)
    by_seed, by_image = values.mean(axis=2), values.mean(axis=1)
    mean = by_seed.mean(axis=1)
    square_seed = images * ((by_seed - mean[:, None]) ** 2).sum(axis=1)
    square_image = seeds * ((by_image - mean[:, None]) ** 2).sum(axis=1)
    total = (values**2).sum(axis=(1, 2)) - seeds * images * mean**2
    residual = np.maximum(total - square_seed - square_image, 0)
    return MeanSquares(
        mean,
        square_seed / (seeds - 1),
        square_image / (images - 1),
        residual / ((seeds - 1) * (images - 1)),
    )


def two_way(differences: NDArray[np.integer]) -> Interval:
    """95 % intervals of mean differences, seeds and images both drawn at random.

    d_si = mu + seed_s + image_i + residual_si has the mean's variance

        V = (MS_seed + MS_image - MS_residual) / (S N),

    with Satterthwaite's degrees of freedom, (sum of the mean squares)^2 / sum of (mean square^2 /
    its degrees of freedom) (Satterthwaite 1946; Searle, Casella and McCulloch, Variance
    Components, 1992, section 2.4). Where MS_seed is below MS_residual the estimate of the seeds'
    variance is negative; it is set to 0, as usual, so V is then MS_image / (S N).

    Args:
        differences: (C, S, N) for C pairs of cells, S seeds and N test images: 1 where the first
            of the pair alone is right, -1 where the second alone is, else 0.

    Returns:
        On the scale of the differences; NaN, but for the mean, for one seed or one image.
    """
    from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import

    _, seeds, images = differences.shape
    if seeds == 1 or images == 1:
        unknown = np.full(len(differences), np.nan)
        return Interval(differences.mean(axis=(1, 2)), *[unknown] * 4)
    mean, seed, image, residual = mean_squares(differences)
    square = np.maximum(seed, residual) + image - residual
    spread = seed**2 / (seeds - 1) + image**2 / (images - 1)
    spread += residual**2 / ((seeds - 1) * (images - 1))
    with np.errstate(divide="ignore", invalid="ignore"):  # equal answers everywhere: 0 / 0
        freedom = np.where(square > 0, square**2 / spread, np.inf)
        error = np.sqrt(square / (seeds * images))
        half = np.where(square > 0, stdtrit(freedom, (1 + LEVEL) / 2) * error, 0)
        p = np.where(square > 0, 2 * stdtr(freedom, -np.abs(mean) / error), mean == 0)
    return Interval(mean, mean - half, mean + half, freedom, p)


def holm(p: ArrayLike) -> Numbers:
    """P-values of one family adjusted by Holm's step-down procedure (Holm 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = values.argsort()
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return adjusted
