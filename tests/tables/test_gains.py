"""Gains with intervals, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from gta import tables
from gta.study import Study
from gta.tables.kinds.gains import half_width

DECLARED = {
    "tables": {
        "gain": {
            "kind": "gains",
            "title": "Gains",
            "caption": "Over fine-tuning.",
            "baseline": "finetune",
            "groups": ["dataset"],
            "rows": ["method"],
            "columns": ["rate"],
            "cells": [{"source": ["main"], "method": ["finetune", "gta"]}],
        }
    }
}


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Any) -> Study:
    """Fine-tuning and GTA (one lambda) on one dataset, three seeds."""
    (workdir / "tables.yaml").write_text(yaml.safe_dump(DECLARED))
    return Study(
        {
            **tiny_config,
            "datasets": ["mini_near"],
            "rates": [15],
            "seeds": [0, 1, 2],
            "methods": {"gta": {"grid": [0.1]}},
            "tables": ["gain"],
            "tables_file": "tables.yaml",
        }
    )


def metrics_of(study: Study, values: dict[str, list[float]]) -> pd.DataFrame:
    """Metrics with these accuracies, by method and seed; seeds stand in reverse."""
    rows = [
        {
            **{field: getattr(run, field) for field in ("dataset", "rate", "source", "method")},
            **{field: getattr(run, field) for field in ("mix", "lam", "seed", "tuned")},
            "acc1": values[run.method][run.seed],
            "heldout_acc1": 1.0,
            "attention_mass": 0.5,
        }
        for run in study.runs
        if run.seed < len(values[run.method])
    ]
    return pd.DataFrame(rows[::-1])


def test_half_width_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0])
    # t(0.975, 2) = 4.302653 (tables of Student's distribution)
    deviation = math.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2)
    assert half_width(values) == pytest.approx(4.302653 * deviation / math.sqrt(3), rel=1e-6)
    assert math.isnan(half_width(values[:1]))


def test_gains_are_paired_by_seed(study: Study) -> None:
    metrics = metrics_of(study, {"finetune": [10.0, 20.0, 60.0], "gta": [12.0, 21.0, 63.0]})
    table = tables.gains(study, "gain", metrics, tables.select(study, metrics))
    gta = table[(table["method"] == "gta") & (table["selection"] == "test")].iloc[0]
    assert gta["gain_mean"] == pytest.approx(2.0)
    # differences 2, 1, 3: deviation 1; unpaired it would be some forty times as wide
    assert gta["gain_half"] == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert gta["acc1_mean"] == pytest.approx(32.0)
    assert gta["mass_mean"] == pytest.approx(50.0)
    assert table[table["method"] == "finetune"]["gain_mean"].isna().all()


def test_a_missing_run_is_a_hole_that_names_it(study: Study) -> None:
    metrics = metrics_of(study, {"finetune": [10.0, 20.0, 60.0], "gta": [12.0, 21.0]})
    table = tables.gains(study, "gain", metrics, tables.select(study, metrics))
    gta = table[table["method"] == "gta"]
    assert gta[["acc1_mean", "gain_mean"]].isna().all(axis=None)
    assert gta["missing"].str.contains("method=gta/mix=none/lam=0.1/seed=2").all()
    page = tables.to_markdown(tables.gains_page(study, "gain", table))
    assert "method=gta/mix=none/lam=0.1/seed=2" in page


def test_the_baseline_must_be_one_of_the_methods(study: Study, tiny_config: Any) -> None:
    declared = yaml.safe_load(yaml.safe_dump(DECLARED))
    declared["tables"]["gain"]["baseline"] = "bss"
    with open("tables.yaml", "w") as file:
        yaml.safe_dump(declared, file)
    with pytest.raises(ValueError, match="baseline: 'bss' is not one of the table's methods"):
        Study(study.content)


def test_the_page_shows_signed_gains_and_unsigned_widths_once(study: Study) -> None:
    metrics = metrics_of(study, {"finetune": [10.0, 20.0, 60.0], "gta": [12.0, 21.0, 63.0]})
    page = tables.gains_page(
        study, "gain", tables.gains(study, "gain", metrics, tables.select(study, metrics))
    )
    assert len(page.blocks) == 1  # one lambda a method: no choice to show twice
    assert "+2.00 ± 2.48" in tables.to_markdown(page)
