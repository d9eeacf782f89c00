"""Beside the paper: pooled deviations against their formula, and what lies within two."""

from __future__ import annotations

import math
import statistics

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.tables.reference import pooled_std, within

accuracies = st.lists(st.floats(20, 90), min_size=2, max_size=6)


def pooled(std: float, n: int, paper_std: float) -> float:
    return float(pooled_std(pd.Series([std]), pd.Series([n]), pd.Series([paper_std])).iloc[0])


@given(ours=accuracies, paper=st.lists(st.floats(20, 90), min_size=3, max_size=3))
def test_pooled_deviation_is_that_of_the_residuals(ours: list[float], paper: list[float]) -> None:
    residuals = [x - statistics.fmean(ours) for x in ours]
    residuals += [x - statistics.fmean(paper) for x in paper]
    expected = math.sqrt(math.fsum(r * r for r in residuals) / (len(ours) + len(paper) - 2))
    found = pooled(statistics.stdev(ours), len(ours), statistics.stdev(paper))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_deviation_stands_for_both() -> None:
    assert pooled(0.3, 3, math.nan) == pytest.approx(0.3)  # tables 3, 5, 6 and A1 of the paper
    assert pooled(math.nan, 1, 0.4) == pytest.approx(0.4)  # one seed
    assert math.isnan(pooled(math.nan, 1, math.nan))
    assert pooled(0.3, 3, 0.4) == pytest.approx(math.sqrt((0.09 + 0.16) / 2))


def test_within_two_pooled_deviations() -> None:
    delta = pd.Series([1.0, -1.0, 1.001, -1.001, 0.1, math.nan])
    std = pd.Series([0.5] * 4 + [math.nan, 0.5])
    n = pd.Series([3] * 4 + [1, 3])
    paper = pd.Series([0.5] * 4 + [math.nan, 0.5])
    assert within(delta, std, n, paper).tolist() == [True, True, False, False, pd.NA, pd.NA]
