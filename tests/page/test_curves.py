"""Curves for the page: means over shares of the iterations, and nothing lost at the ends."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pyarrow as pa
import pytest

from gta.page.curves import FEWEST, MOST, POINTS, points_for, thin
from gta.results import HISTORY


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=HISTORY)


def row(i: int, **more: float | None) -> dict[str, Any]:
    loss = {"cross_entropy": 10.0 / i, "penalty": 0.5 * i, "train_acc1": 7.0 * (i % 3)}
    return {"iteration": i, "lr": 0.1 * i, **loss, **more}


def test_means_over_equal_shares() -> None:
    rows = [row(i) for i in range(1, 301)]
    thinned = thin(table(rows), 100)
    assert thinned["iteration"] == list(range(3, 301, 3))
    for name in ("cross_entropy", "penalty", "train_acc1"):
        naive = [fmean(r[name] for r in rows[i : i + 3]) for i in range(0, 300, 3)]
        assert thinned[name] == pytest.approx(naive, rel=5e-4)  # four digits
    assert thinned["lr"] == pytest.approx([rows[i - 1]["lr"] for i in thinned["iteration"]], 5e-4)


def test_shares_differ_by_one_where_they_must() -> None:
    thinned = thin(table([row(i) for i in range(1, 251)]), 100)
    steps = {b - a for a, b in zip([0, *thinned["iteration"]], thinned["iteration"], strict=False)}
    assert steps == {2, 3}
    assert thinned["iteration"][-1] == 250


def test_a_short_history_is_left_as_it_is() -> None:
    rows = [row(i) for i in range(1, 8)]
    thinned = thin(table(rows), 100)
    assert thinned["iteration"] == [1, 2, 3, 4, 5, 6, 7]
    assert thinned["cross_entropy"] == [float(f"{r['cross_entropy']:.4g}") for r in rows]


def test_heldout_accuracy_keeps_its_own_iterations() -> None:
    rows = [row(i, heldout_acc1=float(i) if i % 50 == 0 else None) for i in range(1, 301)]
    thinned = thin(table(rows), 100)
    assert thinned["heldout_iteration"] == [50, 100, 150, 200, 250, 300]
    assert thinned["heldout_acc1"] == [50, 100, 150, 200, 250, 300]


def test_much_heldout_accuracy_is_thinned_to_its_ends() -> None:
    thinned = thin(table([row(i, heldout_acc1=float(i)) for i in range(1, 301)]), 10)
    assert len(thinned["heldout_acc1"]) == 10
    assert thinned["heldout_iteration"][0] == 1
    assert thinned["heldout_iteration"][-1] == 300


def test_what_was_never_there_is_left_out() -> None:
    thinned = thin(table([row(i, penalty=0.0) for i in range(1, 11)]), 100)
    assert thinned["penalty"] == thinned["heldout_acc1"] == thinned["heldout_iteration"] == []
    assert thin(table([]), 100)["iteration"] == []


def test_a_number_that_is_none_is_null() -> None:
    rows = [row(1), row(2, cross_entropy=float("nan")), row(3, cross_entropy=float("inf"))]
    assert thin(table(rows), 100)["cross_entropy"] == [10, None, None]


def test_fewer_points_where_there_are_many_runs() -> None:
    assert points_for(0) == points_for(1470) == POINTS
    assert points_for(10_000) == MOST // 10_000
    assert points_for(10**6) == FEWEST
