"""The choice of lambda: ties, holes, rates without held-out images, and a naive loop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study
from gta.tables.selection import NO_HELDOUT, gather, over_lambda, select
from tests.support.frames import metrics_frame

Accuracy = Callable[[Run], float]


def cell(table: pd.DataFrame, selection: str, rate: float, method: str = "gta") -> dict[str, Any]:
    """The one row of mini_near, tiny_ibot, no mix."""
    rows = table[
        (table["selection"] == selection)
        & (table["dataset"] == "mini_near")
        & (table["method"] == method)
        & (table["rate"] == rate)
    ]
    assert len(rows) == 1
    return {str(name): value for name, value in rows.iloc[0].items()}


def run_of(rate: float, lam: float, seed: int, method: str = "gta") -> Run:
    return Run("mini_near", rate, "tiny_ibot", method, "none", lam, seed)


def by_lambda(values: dict[float, tuple[float, float]]) -> Accuracy:
    """Accuracy by lambda and seed for GTA, 30 for others."""
    return lambda run: values[run.lam][run.seed] if run.method == "gta" else 30.0


TEST = by_lambda({0.01: (50.0, 52.0), 0.1: (53.0, 53.0), 1.0: (60.0, 40.0)})
HELDOUT = by_lambda({0.01: (41.0, 45.0), 0.1: (40.0, 42.0), 1.0: (42.0, 42.0)})


def heldout_below_100(run: Run) -> float | None:
    return None if run.rate == 100 else HELDOUT(run)


def test_each_selection_reports_test_accuracy_at_its_own_lambda(tiny_study: Study) -> None:
    table = select(tiny_study, metrics_frame(tiny_study, TEST, HELDOUT))
    by_test, by_heldout = cell(table, "test", 15), cell(table, "heldout", 15)
    assert (by_test["lam"], by_test["acc1_mean"], by_test["acc1_std"]) == (0.1, 53.0, 0.0)
    assert (by_heldout["lam"], by_heldout["acc1_mean"]) == (0.01, 51.0)
    assert by_heldout["acc1_std"] == pytest.approx(math.sqrt(2))  # ddof 1
    for row in (by_test, by_heldout):
        assert (row["n"], row["seeds"], row["chosen_at"], row["missing"]) == (2, 2, 15.0, "")
    assert len(table) == 2 * 2 * 2 * 6  # selections, datasets, rates, methods


def test_one_seed_has_no_deviation(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"seeds": [0]})
    row = cell(select(study, metrics_frame(study, TEST, HELDOUT)), "test", 15)
    assert (row["lam"], row["acc1_mean"], row["n"]) == (1.0, 60.0, 1)
    assert math.isnan(row["acc1_std"])


def test_a_tie_goes_to_the_smaller_lambda(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"seeds": [0, 1, 2]})
    # 0.3 + 0.2 + 0.1 and 0.1 + 0.2 + 0.3 differ in floating point, the means must not
    values = {0.01: (0.0,) * 3, 0.1: (0.3, 0.2, 0.1), 1.0: (0.1, 0.2, 0.3)}
    assert sum(values[0.1]) != sum(values[1.0])

    def tied(run: Run) -> float:
        return values[run.lam][run.seed] if run.method == "gta" else 0.0

    table = select(study, metrics_frame(study, tied, tied))
    assert cell(table, "test", 15)["lam"] == 0.1
    assert cell(table, "heldout", 15)["lam"] == 0.1


def test_without_heldout_images_the_highest_rate_with_them_decides(tiny_study: Study) -> None:
    metrics = metrics_frame(tiny_study, TEST, heldout_below_100)
    row = cell(select(tiny_study, metrics), "heldout", 100)
    assert (row["lam"], row["chosen_at"], row["acc1_mean"]) == (0.01, 15.0, 51.0)
    assert row["missing"] == ""


def test_the_rate_that_decides_may_belong_to_another_table(tiny_config: dict[str, Any]) -> None:
    tiny_config |= {"rates": [15, 30, 50, 100], "tables": ["table2"]}
    study = Study(tiny_config)
    best = {15: 0.01, 30: 0.1, 50: 1.0}

    def heldout(run: Run) -> float | None:
        return None if run.rate == 100 else float(run.lam == best[int(run.rate)])

    table = select(study, metrics_frame(study, TEST, heldout))
    assert cell(table, "heldout", 100)["lam"] == 1.0
    assert cell(table, "heldout", 100)["chosen_at"] == 50
    assert cell(table, "heldout", 30)["lam"] == 0.1


def test_no_heldout_images_at_all_is_a_hole_that_says_so(tiny_study: Study) -> None:
    table = select(tiny_study, metrics_frame(tiny_study, TEST, lambda run: None))
    for rate in (15, 100):
        row = cell(table, "heldout", rate)
        assert row["missing"] == NO_HELDOUT
        assert np.isnan([row["lam"], row["acc1_mean"], row["acc1_std"]]).all()
    # nothing is to be chosen where there is one lambda, or none
    assert cell(table, "heldout", 15, "finetune")["acc1_mean"] == 30.0
    assert cell(table, "heldout", 15, "l2_sp")["lam"] == 0.01
    assert cell(table, "test", 15)["lam"] == 0.1


@pytest.mark.parametrize("lam", [0.01, 0.1, 1.0])
def test_a_missing_run_is_a_hole_that_names_it(tiny_study: Study, lam: float) -> None:
    lost = run_of(15, lam, 1)
    metrics = metrics_frame(tiny_study, TEST, HELDOUT, without={lost})
    table = select(tiny_study, metrics, {lost: State("failed", "loss is NaN at step 7")})
    for selection in ("test", "heldout"):
        row = cell(table, selection, 15)
        assert row["missing"] == f"failed: loss is NaN at step 7: `gta train {lost.name}`"
        assert (row["n"], row["seeds"]) == (1, 2)
        assert np.isnan([row["lam"], row["acc1_mean"], row["acc1_std"], row["chosen_at"]]).all()
        assert cell(table, selection, 100)["missing"] == ""


def test_seeds_that_differ_by_lambda_make_no_mean(tiny_study: Study) -> None:
    lost = {run_of(15, 0.01, 0), run_of(15, 1, 1)}  # each seed lacks another lambda
    metrics = metrics_frame(tiny_study, TEST, HELDOUT, without=lost)
    row = cell(select(tiny_study, metrics), "test", 15)
    assert row["n"] == 0
    names = " ".join(run.name for run in sorted(lost))
    assert row["missing"] == f"missing: `gta train {names}`"
    own = over_lambda(
        gather([run_of(15, lam, s) for lam in (0.01, 0.1, 1) for s in (0, 1)], metrics)
    )
    assert own["lam"].tolist() == [0.01, 0.1, 1]
    assert own["n"].tolist() == [1, 2, 1]
    assert own["acc1_mean"].isna().tolist() == [True, False, True]


def test_a_missing_run_where_lambda_is_chosen_is_a_hole_too(tiny_study: Study) -> None:
    lost = run_of(15, 0.1, 0)
    metrics = metrics_frame(tiny_study, TEST, heldout_below_100, without={lost})
    table = select(tiny_study, metrics)
    row = cell(table, "heldout", 100)
    assert row["missing"] == f"λ is chosen at 15 %: missing: `gta train {lost.name}`"
    assert math.isnan(row["acc1_mean"])
    assert cell(table, "test", 100)["lam"] == 0.1


def test_a_run_without_its_heldout_accuracy_is_named(tiny_study: Study) -> None:
    odd = run_of(15, 0.1, 0)
    metrics = metrics_frame(tiny_study, TEST, lambda run: None if run == odd else HELDOUT(run))
    row = cell(select(tiny_study, metrics), "heldout", 15)
    assert row["missing"] == f"without held-out accuracy: {odd.name}"
    assert (row["n"], math.isnan(row["acc1_mean"])) == (2, True)


def test_no_metrics_at_all(tiny_study: Study) -> None:
    metrics = metrics_frame(tiny_study, TEST, HELDOUT, without=set(tiny_study.runs))
    table = select(tiny_study, metrics)
    assert table["acc1_mean"].isna().all()
    assert (table["n"] == 0).all()
    assert table["missing"].str.contains("dataset=").all()


def test_runs_of_other_studies_are_left_out_and_doubles_refused(tiny_study: Study) -> None:
    metrics = metrics_frame(tiny_study, TEST, HELDOUT)
    stray = metrics[metrics["dataset"] == "mini_near"].assign(dataset="cub", acc1=99.0)
    both = pd.concat([metrics, stray], ignore_index=True)
    pd.testing.assert_frame_equal(select(tiny_study, both), select(tiny_study, metrics))
    twice = pd.concat([metrics, metrics.iloc[[5]]], ignore_index=True)
    with pytest.raises(GtaError, match=f"{tiny_study.runs[5].name} stands twice"):
        select(tiny_study, twice)


def naive(
    counts: dict[tuple[float, float, int], int], rates: list[float], grid: list[float], seeds: int
) -> dict[float, float | None]:
    """The rule of the contract in exact numbers: rate to lambda, None for a hole.

    ``counts``: right answers by (rate, lam, seed); absent where the rate holds nothing out.
    """
    chosen: dict[float, float | None] = {}
    for rate in rates:
        chosen[rate] = None
        for candidate in [rate, *sorted(rates, reverse=True)]:
            if (candidate, grid[0], 0) not in counts:
                continue
            best = Fraction(-1)
            for lam in grid:
                mean = Fraction(sum(counts[candidate, lam, s] for s in range(seeds)), seeds)
                if mean > best:
                    best, chosen[rate] = mean, lam
            break
    return chosen


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_selection_is_that_of_a_naive_loop(
    tiny_config: dict[str, Any], data: st.DataObject
) -> None:
    rates = [15.0, 30.0, 100.0]
    grid = sorted(data.draw(st.sets(st.sampled_from([0.01, 0.1, 1.0, 10.0]), min_size=1)))
    seeds = data.draw(st.integers(1, 4))
    images = data.draw(st.sampled_from([3, 1450]))  # few images make many ties
    tiny_config |= {"datasets": ["mini_near"], "rates": rates, "seeds": list(range(seeds))}
    study = Study(tiny_config | {"tables": ["table3"], "methods": {"gta": {"grid": grid}}})
    rates = [15.0, 100.0]  # those of table 3
    right = st.integers(0, images)
    keys = list(itertools.product(rates, grid, range(seeds)))
    test = {key: data.draw(right) for key in keys}
    with_heldout = data.draw(st.sets(st.sampled_from(rates)))
    heldout = {key: data.draw(right) for key in keys if key[0] in with_heldout}

    def accuracy(counts: dict[Any, int]) -> Callable[[Run], Any]:
        def of(run: Run) -> float | None:
            count = counts.get((run.rate, run.lam, run.seed), None if run.lam in grid else 0)
            return None if count is None else 100 * count / images

        return of

    table = select(study, metrics_frame(study, accuracy(test), accuracy(heldout)))
    for selection, counts in (("test", test), ("heldout", heldout)):
        expected = naive(counts, rates, grid, seeds)
        if len(grid) == 1:
            expected = dict.fromkeys(rates, grid[0])
        for rate, lam in expected.items():
            row = cell(table, selection, rate)
            if lam is None:
                assert row["missing"] == NO_HELDOUT
                continue
            shown = [100 * test[rate, lam, seed] / images for seed in range(seeds)]
            assert row["lam"] == lam
            assert row["acc1_mean"] == pytest.approx(sum(shown) / seeds)
