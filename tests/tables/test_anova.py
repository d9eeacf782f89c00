"""Intervals against the analysis of variance by its definition, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from docs.make.coverage import REGIMES, Regime, coverage
from gta.tables.anova import LEVEL, holm, mean_squares, two_way

# Answers of three seeds (rows) on four images: the seeds differ more than the residuals.
TABLE = np.array([[1, 0, 0, 1], [0, 0, -1, 0], [1, 1, 0, 1]])


def test_mean_squares_by_definition() -> None:
    seeds, images = TABLE.shape
    mean = TABLE.mean()
    rows, columns = TABLE.mean(axis=1), TABLE.mean(axis=0)
    seed = sum(images * (row - mean) ** 2 for row in rows) / (seeds - 1)
    image = sum(seeds * (column - mean) ** 2 for column in columns) / (images - 1)
    residual = sum(
        (TABLE[s, i] - rows[s] - columns[i] + mean) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    assert seed > residual
    found = mean_squares(TABLE[None])
    assert [float(part[0]) for part in found] == pytest.approx([mean, seed, image, residual])

    variance = (seed + image - residual) / (seeds * images)
    spread = seed**2 / 2 + image**2 / 3 + residual**2 / 6
    freedom = (seed + image - residual) ** 2 / spread
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(variance)
    p = 2 * stats.t.sf(mean / math.sqrt(variance), freedom)
    interval = [float(part[0]) for part in two_way(TABLE[None])]
    assert interval == pytest.approx([mean, mean - half, mean + half, freedom, p])


def test_a_negative_variance_of_seeds_counts_as_none() -> None:
    table = np.array([[1, 0, -1, 1], [0, 1, 1, -1], [1, -1, 1, 0]])
    mean, seed, image, residual = (float(part[0]) for part in mean_squares(table[None]))
    assert seed < residual
    found = two_way(table[None])
    freedom = image**2 / (seed**2 / 2 + image**2 / 3 + residual**2 / 6)
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(image / table.size)
    assert float(found.high[0]) == pytest.approx(mean + half)


def test_a_pair_alone_has_the_interval_that_it_has_among_others() -> None:
    given = np.random.default_rng(3).integers(-1, 2, (5, 3, 50))
    together, alone = two_way(given), two_way(given[3:4])
    assert [part[3] for part in together] == [part[0] for part in alone]


@pytest.mark.parametrize("shape", [(2, 1, 9), (2, 3, 1)], ids=["one seed", "one image"])
def test_one_seed_or_one_image_leaves_no_interval(shape: tuple[int, int, int]) -> None:
    found = two_way(np.ones(shape, np.int8))
    assert found.mean.tolist() == [1, 1]
    assert np.isnan([found.low, found.high, found.p]).all()


def test_equal_answers_everywhere() -> None:
    found = two_way(np.zeros((1, 3, 5), np.int8))
    assert [found.low[0], found.high[0], found.p[0]] == [0, 0, 1]


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.title)
def test_intervals_hold_the_true_gain(regime: Regime) -> None:
    found = coverage(regime, draws=1000)
    assert 0.93 <= found.held <= 0.98
    if regime.gain == 0:
        assert found.away == pytest.approx(1 - found.held)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
