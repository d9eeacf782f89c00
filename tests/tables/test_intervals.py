"""Intervals of gains: which pairs, what is kept, and what tables mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from gta import results, tables
from gta.cli import app
from gta.errors import GtaError
from gta.study import Run, Study
from gta.tables.anova import two_way
from gta.tables.intervals import pairs_of, rivals_of

IMAGES = 80


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
    results.write(study.run_files(run), "predictions", rows)
    identity = {field.name: getattr(run, field.name) for field in results.IDENTITY}
    identity |= {"recipe_digest": study.digest(run)}
    return {**identity, "acc1": 100 * answers.mean(), "heldout_acc1": 100 * answers.mean()}


METHODS: dict[str, Any] = {"attention_only": {}, "gta": {"grid": [0.1, 1]}}


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """Three methods on one dataset at two rates, two seeds; all runs done and collected."""
    content = {**tiny_config, "datasets": ["mini_near"], "methods": METHODS}
    content["seeds"] = [0, 1, 2]
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


def in_cells(text: str, mark: str) -> int:
    return sum(line.count(mark) for line in text.splitlines() if line.startswith("|"))


def collect(study: Study, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([*results.IDENTITY, *results.METRICS])
    results.write_collected(study, pa.Table.from_pylist(rows, schema=schema))


def test_pairs_have_all_seeds_and_the_same_place(study: Study) -> None:
    metrics = results.read_collected(study)
    pairs = pairs_of(study, metrics)
    # attention_only and two lambdas of GTA at two rates
    assert len(pairs) == 3 * 2
    for pair in pairs:
        assert [run.seed for run in pair.runs] == [run.seed for run in pair.baseline] == [0, 1, 2]
        assert {run.method for run in pair.baseline} == {"finetune"}
        assert {run.rate for run in pair.all} == {pair.runs[0].rate}
    lost = (metrics["method"] == "finetune") & (metrics["rate"] == 15) & (metrics["seed"] == 1)
    assert {pair.runs[0].rate for pair in pairs_of(study, metrics[~lost])} == {100}


def test_rivals_are_all_pairs_of_a_column_at_their_lambdas(study: Study) -> None:
    metrics = results.read_collected(study)
    selected = tables.select(study, metrics)
    lams = set(selected.loc[selected["method"] == "gta", ["rate", "lam"]].itertuples(index=False))
    pairs = rivals_of(study, metrics, selected)
    named = [(p.runs[0].rate, {(r.method, r.lam) for r in p.all}) for p in pairs]
    for rate, lam in lams:
        for other in ("finetune", "attention_only"):
            assert (rate, {(other, 0.0), ("gta", lam)}) in named
    assert len(named) == 2 + 2 * len(lams)  # finetune with attention_only at two rates


def test_each_interval_is_of_its_own_predictions(study: Study) -> None:
    found = tables.compute_intervals(study, results.read_collected(study))
    assert found.schema.equals(tables.INTERVALS)
    gains = [row for row in found.to_pylist() if row["baseline"] == "finetune"]
    assert len({(row["rate"], row["method"], row["lam"]) for row in gains}) == 6
    for row in found.to_pylist():
        runs = [run for run in study.runs if run.rate == row["rate"]]
        own = [r for r in runs if (r.method, r.lam) == (row["method"], row["lam"])]
        other = row["baseline"], row["baseline_lam"]
        base = [r for r in runs if (r.method, r.lam) == other]
        answers = [np.stack([right(run) for run in sorted(side)]) for side in (own, base)]
        given = (answers[0].astype(int) - answers[1])[None]
        expected = two_way(given)
        assert row["gain"] == pytest.approx(100 * given.mean())
        ends = (100 * expected.low[0], 100 * expected.high[0])
        assert (row["low"], row["high"]) == pytest.approx(ends)
        assert (row["p"], row["freedom"]) == pytest.approx((expected.p[0], expected.freedom[0]))
        assert (row["seeds"], row["images"]) == (3, IMAGES)


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many pairs have been compared so far."""
    pairs: list[int] = []

    def spy(given: NDArray[np.integer]) -> Any:
        pairs.append(len(given))
        return two_way(given)

    monkeypatch.setattr("gta.tables.intervals.two_way", spy)
    return lambda: sum(pairs)


def test_what_is_made_of_the_same_predictions_is_kept(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = counted(monkeypatch)
    metrics = results.read_collected(study)
    first = tables.compute_intervals(study, metrics)
    before = compared()
    assert before == first.num_rows
    assert tables.compute_intervals(study, metrics, first).equals(first)
    assert compared() == before

    changed = next(run for run in study.runs if run.method == "gta")
    finish(study, changed, ~right(changed))
    again = tables.compute_intervals(study, metrics, first)

    def has(row: dict[str, Any], side: str) -> bool:
        named = row["baseline" if side else "method"], row[f"{side}lam"], row["rate"]
        return bool(named == (changed.method, changed.lam, changed.rate))

    of_changed = [row for row in first.to_pylist() if has(row, "") or has(row, "baseline_")]
    assert compared() - before == len(of_changed)
    same = [a == b for a, b in zip(first.to_pylist(), again.to_pylist(), strict=True)]
    assert same.count(False) == len(of_changed)


def test_without_predictions_there_is_no_interval(study: Study) -> None:
    lost = next(run for run in study.runs if run.method == "gta")
    study.run_files(lost).path("predictions").unlink()
    found = tables.compute_intervals(study, results.read_collected(study)).to_pylist()
    gains = {(r["rate"], r["method"], r["lam"]) for r in found if r["baseline"] == "finetune"}
    assert len(gains) == 5
    assert (lost.rate, lost.lam) not in [(r["rate"], r["lam"]) for r in found if r["lam"]]


def test_predictions_on_other_images_are_refused(study: Study) -> None:
    odd = study.runs[-1]
    finish(study, odd, right(odd), first=5)
    with pytest.raises(GtaError, match=r"seed=2/part.parquet: not on the test images of"):
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
    assert "it inflates gains" in text
    assert frame.groupby("method")["best_group"].unique().map(list).to_dict() == {
        "attention_only": [False],
        "finetune": [False],
        "gta": [True],
    }
    assert in_cells(text, "•") == 0  # GTA is the best alone
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


def test_methods_that_cannot_be_told_from_the_best_are_marked(study: Study) -> None:
    def alike(run: Run) -> NDArray[np.bool_]:
        """GTA and attention only are right on nearly the same images, fine-tuning on fewer."""
        answers = np.random.default_rng(run.seed).random(IMAGES) < (
            0.2 if run.method == "finetune" else 0.8
        )
        answers[int(10 * run.lam) % 7] ^= run.method == "gta"
        return answers

    collect(study, [finish(study, run, alike(run)) for run in study.runs])
    tables.write_intervals(study, tables.compute_intervals(study, results.read_collected(study)))
    frame, page = tables.make(study, "few")
    groups = frame.groupby("method")["best_group"].unique().map(list).to_dict()
    assert groups == {"attention_only": [True], "finetune": [False], "gta": [True]}
    text = tables.to_markdown(page)
    assert in_cells(text, "•") == 8  # two methods at two rates, by two choices
    assert "Holm's correction at 5 %" in text
    assert r"$\uparrow$$\bullet$" in tables.to_latex(page)


def test_one_seed_marks_nothing(study: Study) -> None:
    alone = Study({**study.content, "study": "alone", "seeds": [0]})
    collect(alone, [finish(alone, run, right(run)) for run in alone.runs])
    tables.write_intervals(alone, tables.compute_intervals(alone, results.read_collected(alone)))
    frame, page = tables.make(alone, "few")
    assert frame["gain_low"].isna().all()
    assert frame["best_group"].isna().all()
    text = tables.to_markdown(page)
    assert not any(in_cells(text, mark) for mark in "↑↓•")
    assert "One seed: there is no interval, so no gain is marked." in page.remarks
