"""What the paper's choice of lambda adds, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from gta.study import Run, Study
from gta.tables import optimism, optimism_page, select, to_latex, to_markdown
from tests.support.frames import metrics_frame

# by lambda: test accuracy of two seeds, held-out accuracy
VALUES = {0.01: ((50.0, 52.0), 45.0), 0.1: ((53.0, 54.0), 44.0), 1.0: ((60.0, 40.0), 43.0)}


def on_test(run: Run) -> float:
    return VALUES[run.lam][0][run.seed] if run.method == "gta" else 30.0


def heldout(run: Run) -> float | None:
    """At 15 % the smallest lambda is best; at 100 % nothing is held out; far agrees with test."""
    if run.rate == 100:
        return None
    if run.dataset == "mini_far":
        return float(run.lam == 0.1)
    return VALUES[run.lam][1] if run.method == "gta" else 30.0


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Any) -> Study:
    return Study(tiny_config | {"tables": ["table2", "optimism"]})


def made(study: Study, without: frozenset[Run] = frozenset()) -> pd.DataFrame:
    metrics = metrics_frame(study, on_test, heldout, without)
    return optimism(study, "optimism", metrics, select(study, metrics))


def test_differences_are_paired_by_seed(study: Study) -> None:
    table = made(study)
    # GTA alone has several lambdas here
    assert table[["dataset", "method", "rate"]].to_numpy().tolist() == [
        [dataset, "gta", rate] for dataset in ("mini_near", "mini_far") for rate in (15, 100)
    ]
    near = table.iloc[0]
    assert (near["lam_test"], near["lam_heldout"]) == (0.1, 0.01)
    assert (near["acc1_test"], near["acc1_heldout"]) == (53.5, 51.0)
    assert near["optimism_mean"] == pytest.approx(2.5)  # of 3 and 2
    assert near["optimism_std"] == pytest.approx(math.sqrt(0.5))
    assert (table.iloc[1]["optimism_mean"], table.iloc[1]["chosen_at"]) == (2.5, 15)
    assert table.iloc[2:]["optimism_mean"].tolist() == [0, 0]
    assert (table["missing"] == "").all()


def test_optimism_is_never_negative_in_the_mean(study: Study) -> None:
    metrics = metrics_frame(study, lambda run: hash(run) % 97, lambda run: hash(run) % 89)
    table = optimism(study, "optimism", metrics, select(study, metrics))
    assert (table["optimism_mean"] >= 0).all()
    assert (table["acc1_test"] - table["acc1_heldout"]).tolist() == pytest.approx(
        table["optimism_mean"].tolist()
    )


def test_a_hole_is_named_in_the_cell_and_in_the_mean(study: Study) -> None:
    lost = Run("mini_far", 15.0, "tiny_ibot", "gta", "none", 1.0, 1)
    table = made(study, frozenset({lost}))
    far = table[table["dataset"] == "mini_far"]
    assert far["optimism_mean"].isna().all()  # 100 % takes the choice of 15 %
    page = optimism_page(study, "optimism", table)
    text = to_markdown(page)
    assert f"[1] missing: `gta train {lost.name}`" in text
    assert "| GTA | - [1] | - [2] |" in text
    assert "Over 2 cells: mean 2.50, largest 2.50; in 0 of them" in text


def test_the_page_shows_both_lambdas_where_they_differ(study: Study) -> None:
    page = optimism_page(study, "optimism", made(study))
    assert [title for title, _ in page.blocks] == ["Mean over datasets", "By dataset"]
    text = to_markdown(page)
    assert "| GTA | 1.25 | 1.25 |" in text
    assert (
        "| Mini near | GTA | 2.50 ± 0.71 (λ 0.1 → 0.01 sum) | 2.50 ± 0.71 (λ 0.1 → 0.01 sum) [1] |"
        in text
    )
    assert "| Mini far | GTA | 0 | 0 [1] |" in text
    assert "Over 4 cells: mean 1.25, largest 2.50; in 2 of them both rules choose the same" in text
    assert r"$\lambda$ 0.1 $\rightarrow$ 0.01" in to_latex(page)


def test_a_study_with_one_lambda_a_method_says_so(tiny_config: dict[str, Any]) -> None:
    grids = {method: {"grid": [0.1]} for method in ("l2_sp", "bss", "gta")}
    study = Study(tiny_config | {"tables": ["table2", "optimism"], "methods": grids})
    metrics = metrics_frame(study, lambda run: 1.0, lambda run: 1.0)
    table = optimism(study, "optimism", metrics, select(study, metrics))
    assert "nothing was chosen" in to_markdown(optimism_page(study, "optimism", table))
