"""Intervals of the gains: against naive statements, what is kept, and what tables mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray
from scipy import stats
from typer.testing import CliRunner

from gta import results, tables
from gta.cli import app
from gta.errors import GtaError
from gta.study import Run, Study
from gta.tables.intervals import BATCH, LEVEL, bootstrap, pairs_of

IMAGES = 40


def differences(cells: int, seeds: int, images: int) -> NDArray[np.int8]:
    generator = np.random.default_rng(3)
    chances = [0.1, 0.6, 0.3]
    return generator.choice([-1, 0, 1], (cells, seeds, images), p=chances).astype(np.int8)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_bootstrap_is_that_of_naive_means(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gta.tables.intervals.RESAMPLES", 500)
    given = differences(2, seeds, 30)
    low, high = bootstrap(given)
    for cell in range(2):

        def mean(images: Any, drawn: Any = (0,), cell: int = cell) -> float:
            return float(np.mean([given[cell, int(s), int(i)] for s in drawn for i in images]))

        naive = stats.bootstrap(
            [np.arange(size) for size in (30, seeds) if size > 1],
            mean,
            n_resamples=500,
            batch=BATCH,
            vectorized=False,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        ends = naive.confidence_interval
        assert (low[cell], high[cell]) == pytest.approx((ends.low, ends.high), abs=1e-12)


def test_a_single_image_leaves_no_interval() -> None:
    low, high = bootstrap(differences(2, 3, 1))
    assert np.isnan([*low, *high]).all()


def test_a_cell_alone_has_the_interval_that_it_has_among_others() -> None:
    given = differences(5, 3, 50)
    together, alone = bootstrap(given), bootstrap(given[3:4])
    assert [ends[3] for ends in together] == [ends[0] for ends in alone]


def test_intervals_widen_with_the_spread_over_seeds() -> None:
    alike = np.tile(differences(1, 1, 200), (1, 3, 1))
    spread = alike.copy()
    spread[:, 0], spread[:, 2] = 1, -1
    widths = [high - low for low, high in map(bootstrap, (alike, spread))]
    assert widths[1] > 3 * widths[0]


def right(run: Run) -> NDArray[np.bool_]:
    """GTA is right on three quarters of the images, others on half, drawn by seed and rate."""
    generator = np.random.default_rng([run.seed, int(run.rate), run.method == "gta"])
    share = 0.95 if run.method == "gta" else 0.4
    return generator.random(IMAGES) < share


def finish(study: Study, run: Run, answers: NDArray[np.bool_], first: int = 0) -> dict[str, Any]:
    """Write a run's predictions, test images in reverse; give its metrics."""
    order = np.arange(IMAGES)[::-1]
    rows = [
        {"split": "test", "index": first + i, "label": 7, "prediction": 7 if answers[i] else 3}
        for i in map(int, order)
    ]
    rows.append({"split": "heldout", "index": 999, "label": 1, "prediction": 1})
    results.write(study, "predictions", run, rows)
    identity = {field.name: getattr(run, field.name) for field in results.IDENTITY}
    return {**identity, "acc1": 100 * answers.mean(), "heldout_acc1": 100 * answers.mean()}


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """Three methods on one data set at two rates, two seeds; all runs done and collected."""
    content = {**tiny_config, "datasets": ["mini_near"], "methods": {"gta": {"grid": [0.1, 1]}}}
    declared = {
        "kind": "accuracy",
        "title": "Few",
        "caption": "Few.",
        "groups": ["dataset"],
        "rows": ["method"],
        "columns": ["rate"],
        "cells": [{"source": ["main"], "method": ["finetune", "attention_only", "gta"]}],
    }
    (workdir / "few.yaml").write_text(yaml.safe_dump({"tables": {"few": declared}}))
    (workdir / "study.yaml").write_text(
        yaml.safe_dump({**content, "tables": ["few"], "tables_file": "few.yaml"})
    )
    study = Study.load(["study.yaml"])
    collect(study, [finish(study, run, right(run)) for run in study.runs])
    return study


def collect(study: Study, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([*results.IDENTITY, *results.METRICS])
    results.write_collected(study, pa.Table.from_pylist(rows, schema=schema))


def test_pairs_have_all_seeds_and_the_same_place(study: Study) -> None:
    metrics = results.read_collected(study)
    pairs = pairs_of(study, metrics)
    # attention_only and two lambdas of GTA at two rates
    assert len(pairs) == 3 * 2
    for pair in pairs:
        assert [run.seed for run in pair.runs] == [run.seed for run in pair.baseline] == [0, 1]
        assert {run.method for run in pair.baseline} == {"finetune"}
        assert {run.rate for run in pair.all} == {pair.runs[0].rate}
    lost = (metrics["method"] == "finetune") & (metrics["rate"] == 15) & (metrics["seed"] == 1)
    assert {pair.runs[0].rate for pair in pairs_of(study, metrics[~lost])} == {100}


def test_each_interval_is_of_its_own_predictions(study: Study) -> None:
    found = tables.compute_intervals(study, results.read_collected(study))
    assert found.schema.equals(tables.INTERVALS)
    assert found.num_rows == 6
    for row in found.to_pylist():
        runs = [run for run in study.runs if run.rate == row["rate"]]
        own = [r for r in runs if (r.method, r.lam) == (row["method"], row["lam"])]
        base = [r for r in runs if r.method == "finetune"]
        answers = [np.stack([right(run) for run in sorted(side)]) for side in (own, base)]
        given = (answers[0].astype(int) - answers[1])[None]
        low, high = bootstrap(given)
        assert row["gain"] == pytest.approx(100 * given.mean())
        assert (row["low"], row["high"]) == pytest.approx((100 * low[0], 100 * high[0]))
        assert (row["seeds"], row["images"], row["baseline"]) == (2, IMAGES, "finetune")


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many cells have been resampled so far."""
    cells: list[int] = []

    def spy(given: NDArray[np.integer]) -> Any:
        cells.append(len(given))
        return bootstrap(given)

    monkeypatch.setattr("gta.tables.intervals.bootstrap", spy)
    return lambda: sum(cells)


def test_what_is_made_of_the_same_predictions_is_kept(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    resampled = counted(monkeypatch)
    metrics = results.read_collected(study)
    first = tables.compute_intervals(study, metrics)
    assert resampled() == 6
    assert tables.compute_intervals(study, metrics, first).equals(first)
    assert resampled() == 6

    changed = next(run for run in study.runs if run.method == "gta")
    finish(study, changed, ~right(changed))
    again = tables.compute_intervals(study, metrics, first)
    assert resampled() == 7
    same = [a == b for a, b in zip(first.to_pylist(), again.to_pylist(), strict=True)]
    assert same.count(False) == 1

    changed = next(run for run in study.runs if run.method == "finetune")
    finish(study, changed, ~right(changed))
    tables.compute_intervals(study, metrics, again)
    assert resampled() == 7 + 3  # all that is held against it


def test_without_predictions_there_is_no_interval(study: Study) -> None:
    lost = next(run for run in study.runs if run.method == "gta")
    study.path("predictions", lost).unlink()
    found = tables.compute_intervals(study, results.read_collected(study)).to_pylist()
    assert len(found) == 5
    assert (lost.rate, lost.lam) not in [(r["rate"], r["lam"]) for r in found if r["lam"]]


def test_predictions_on_other_images_are_refused(study: Study) -> None:
    odd = study.runs[-1]
    finish(study, odd, right(odd), first=5)
    with pytest.raises(GtaError, match=r"seed=1/part.parquet: not on the test images of"):
        tables.compute_intervals(study, results.read_collected(study))


def test_tables_mark_gains_whose_interval_leaves_zero(study: Study) -> None:
    _, before = tables.make(study, "few")
    unknown = "4 gains have no interval yet: `gta intervals --config study.yaml`."
    assert before.remarks.count(unknown) == 0
    assert before.remarks[2] == "8 gains" + unknown[7:]
    assert "↑" not in tables.to_markdown(before)

    assert CliRunner().invoke(app, ["intervals", "--config", "study.yaml"]).exit_code == 0
    frame, page = tables.make(study, "few")
    by_method = frame.groupby("method")
    assert by_method["gain"].count().to_dict() == {"attention_only": 4, "finetune": 0, "gta": 4}
    gta = frame[frame["method"] == "gta"]
    assert (gta["gain_low"] > 0).all()
    assert (gta["gain_low"] < gta["gain"]).all()
    assert (gta["gain"] < gta["gain_high"]).all()
    text = tables.to_markdown(page)
    assert text.count("** ↑") == 4
    assert "95 % interval above or below zero" in text
    assert "no interval yet" not in text
    first = gta.iloc[0]
    about = f"{first['gain']:+.2f} [{first['gain_low']:+.2f}, {first['gain_high']:+.2f}]"
    assert f'title="gain over Fine-tuning {about}"' in tables.to_html(page)
    assert r"~$\uparrow$" in tables.to_latex(page)


def test_an_interval_of_earlier_runs_marks_nothing(study: Study) -> None:
    tables.write_intervals(study, tables.compute_intervals(study, results.read_collected(study)))
    rows = [
        finish(study, run, ~right(run) if run.method == "gta" else right(run)) for run in study.runs
    ]
    collect(study, rows)
    frame, page = tables.make(study, "few")
    gta = frame[frame["method"] == "gta"]
    assert (gta["gain"] < 0).all()
    assert gta["gain_low"].isna().all()
    assert frame.loc[frame["method"] == "attention_only", "gain_low"].notna().all()
    assert any(remark.startswith("4 gains have no interval yet") for remark in page.remarks)


def test_a_file_of_another_version_counts_as_none_and_a_damaged_one_is_named(study: Study) -> None:
    path = study.folder / "intervals.parquet"
    assert tables.read_intervals(study) is None
    found = tables.compute_intervals(study, results.read_collected(study))
    tables.write_intervals(study, found.drop_columns(["level"]))
    assert tables.read_intervals(study) is None
    path.write_bytes(b"x")
    with pytest.raises(GtaError, match=r"intervals.parquet: damaged: .*; delete it"):
        tables.read_intervals(study)
