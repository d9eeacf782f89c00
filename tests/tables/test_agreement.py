"""The sum over tables, against counts by naive loops over the paper's own numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gta.study import Study
from gta.study.run import CELL
from gta.tables import accuracy, agreement, agreement_page, read_reference, to_html, to_markdown
from gta.tables.kinds.agreement import chance_within

NAMES = ["table2", "table3", "table5"]


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Any) -> Study:
    """The paper's datasets and rates, few of its tables."""
    return Study(
        tiny_config
        | {
            "study": "near",
            "datasets": ["cub", "cars"],
            "rates": [15, 30, 50, 100],
            "sources": {"main": "ibot", "other_ssl": "dino", "supervised": "supervised"},
            "recipe": {**tiny_config["recipe"], "architecture": "vit_small_patch16_224"},
            "tables": [*NAMES, "agreement"],
            "methods": tiny_config["methods"] | {"block_guide": {}, "msa_guide": {}},
        }
    )


def tables_of(study: Study, without: tuple[Any, ...] = ()) -> list[pd.DataFrame]:
    """Ours: the paper's plus noise, of deviation .3 over two seeds; one cell may be a hole."""
    generator = np.random.default_rng(0)
    tables = []
    noise: dict[Any, float] = {}
    for name in NAMES:
        reference = read_reference(study, name)
        assert reference is not None
        own = reference[(reference["table"] == name) & reference["dataset"].isin(["cub", "cars"])]
        selected = own[CELL].astype({"rate": float}).drop_duplicates()
        selected = selected.assign(selection="test", lam=1.0, tuned="", n=2)
        selected["chosen_at"] = selected["rate"]
        keys = list(selected[CELL].itertuples(index=False, name=None))
        drawn = [noise.setdefault(key, generator.normal(0, 0.6)) for key in keys]
        selected["acc1_mean"] = own["acc1_mean"].to_numpy() + drawn
        hole = np.array([key == without for key in keys])
        selected["acc1_mean"] = selected["acc1_mean"].mask(hole)
        selected = selected.assign(acc1_std=0.3, missing=np.where(hole, "not run", ""))
        tables.append(accuracy(study, name, selected, reference))
    return tables


def naive(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is counted, of rows of several tables."""
    cells: dict[Any, dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[f] for f in CELL)
        if key not in cells or math.isnan(cells[key]["paper_std"]):
            cells[key] = row
    there = {key: row for key, row in cells.items() if not math.isnan(row["acc1_mean"])}
    deltas = [row["acc1_mean"] - row["paper_mean"] for row in there.values()]
    found: dict[str, Any] = {"cells": len(cells), "compared": len(there), "judged": len(there)}
    found["within"] = 0
    for row, delta in zip(there.values(), deltas, strict=True):
        paper = row["paper_std"]
        pooled = 0.3 if math.isnan(paper) else math.sqrt((1 * 0.3**2 + 2 * paper**2) / 3)
        found["within"] += abs(delta) <= 2 * pooled
    found["delta_mean"] = sum(deltas) / len(deltas)
    found["delta_abs_mean"] = sum(map(abs, deltas)) / len(deltas)

    pairs: dict[Any, bool] = {}
    clear: dict[Any, bool] = {}
    for one, other in itertools.combinations(rows, 2):
        if any(one[f] != other[f] for f in ("table", "dataset", "rate")):
            continue
        paper = one["paper_mean"] - other["paper_mean"]
        ours = one["acc1_mean"] - other["acc1_mean"]
        if paper == 0 or math.isnan(ours):
            continue
        pair = frozenset(tuple(row[f] for f in CELL) for row in (one, other))
        pairs[pair] = ours * paper > 0
        if abs(paper) > 2 * math.sqrt((one["paper_std"] ** 2 + other["paper_std"] ** 2) / 2):
            clear[pair] = pairs[pair]

    steps: dict[Any, bool] = {}
    trends: dict[Any, bool] = {}
    clear_trends: dict[Any, bool] = {}
    for row in cells.values():
        line = [r for r in there.values() if all(r[f] == row[f] for f in CELL[:-1])]
        line = sorted(line, key=lambda r: r["rate"])
        for a, b in itertools.pairwise(line):
            ours, paper = (b[m] - a[m] for m in ("acc1_mean", "paper_mean"))
            steps[tuple(b[f] for f in CELL)] = ours * paper > 0
        gains = []
        for r in line:
            place = (r["dataset"], r["source"], "finetune", r["mix"], r["rate"])
            if r["method"] != "finetune" and place in there:
                base = there[place]
                gains.append([r[m] - base[m] for m in ("acc1_mean", "paper_mean")])
                gains[-1].append((r["paper_std"] ** 2 + base["paper_std"] ** 2) / 3)
        if len(gains) > 1:
            ours, paper = (gains[0][i] - gains[-1][i] for i in (0, 1))
            key = tuple(row[f] for f in CELL[:-1])
            trends[key] = ours * paper > 0
            if abs(paper) > 2 * math.sqrt(gains[0][2] + gains[-1][2]):
                clear_trends[key] = trends[key]
    for name, kept in (
        ("pairs", pairs),
        ("clear", clear),
        ("steps", steps),
        ("trends", trends),
        ("clear_trends", clear_trends),
    ):
        found[name], found[f"{name}_kept"] = len(kept), sum(kept.values())
    return found


@pytest.mark.parametrize("hole", [(), ("cub", "ibot", "gta", "none", 30.0)])
@pytest.mark.parametrize(("by", "of"), [("all", "all"), ("table", "table5"), ("dataset", "cub")])
def test_counts_are_those_of_naive_loops(
    study: Study, hole: tuple[Any, ...], by: str, of: str
) -> None:
    tables = tables_of(study, hole)
    found = agreement(tables)
    row = found[(found["by"] == by) & (found["of"] == of)].to_dict("records")
    assert len(row) == 1
    records = [
        {str(k): v for k, v in record.items()}
        for table in tables
        for record in table.to_dict("records")
        if by == "all" or record[by] == of
    ]
    expected = naive(records)
    assert expected["pairs"] > expected["pairs_kept"] > 0
    for name, value in expected.items():
        assert row[0][name] == pytest.approx(value), name


def test_every_table_and_data_set_has_a_row_and_doubles_count_once(study: Study) -> None:
    found = agreement(tables_of(study))
    assert list(found[["by", "of"]].itertuples(index=False, name=None)) == [
        ("all", "all"),
        *(("table", name) for name in NAMES),
        ("dataset", "cub"),
        ("dataset", "cars"),
    ]
    cells = found.set_index("of")["cells"]
    # 6 methods at 4 rates; 2 guides and 2 TransMix at 2 rates; the rest stands in table 2
    assert cells["all"] == 2 * (6 * 4 + 2 * 2 + 2 * 2)
    assert cells[NAMES].tolist() == [2 * 6 * 4, 2 * 4 * 2, 2 * 4 * 2]


def test_the_paper_agrees_with_itself(study: Study) -> None:
    tables = [
        table.assign(
            acc1_mean=table["paper_mean"],
            delta=0.0,
            within=pd.array([True] * len(table), dtype="boolean"),
        )
        for table in tables_of(study)
    ]
    for row in agreement(tables).to_dict("records"):
        assert row["within"] == row["cells"]
        for claim in ("pairs", "clear", "steps", "trends", "clear_trends"):
            assert row[f"{claim}_kept"] == row[claim]


def test_fifteen_of_the_papers_trends_exceed_two_standard_errors(study: Study) -> None:
    datasets = {"datasets": ["cub", "cars", "aircraft", "dogs", "pet"], "tables": ["table2"]}
    whole = Study(study.content | datasets)
    reference = read_reference(whole, "table2")
    assert reference is not None
    own = reference[reference["table"] == "table2"].astype({"rate": float})
    selected = own[[*CELL, "acc1_mean", "acc1_std"]].assign(
        selection="test", lam=1.0, tuned="", n=3, chosen_at=own["rate"], missing=""
    )
    row = agreement([accuracy(whole, "table2", selected, reference)]).iloc[0]
    assert (row["trends"], row["clear_trends"]) == (25, 15)
    assert row["within_expected"] == pytest.approx(0.93 * 120, rel=0.005)


@pytest.mark.parametrize(
    ("std", "paper_std", "expected"), [(0.3, 0.2, 0.93), (0.3, math.nan, 0.87), (None, 0.2, 0.87)]
)
def test_what_chance_alone_gives(std: Any, paper_std: float, expected: float) -> None:
    """Against means and deviations of three draws each from one distribution."""
    found = chance_within(*(pd.Series([v], dtype=float) for v in (std, 3, paper_std)))
    assert round(float(found.iloc[0]), 2) == expected
    ours, papers = np.random.default_rng(0).normal(size=(2, 100_000, 3))
    freedom = {"ours": std is not None, "papers": not math.isnan(paper_std)}
    squares = sum(
        values.var(axis=1, ddof=1) * freedom[name]
        for name, values in (("ours", ours), ("papers", papers))
    )
    pooled = np.sqrt(squares / sum(freedom.values()))
    inside = np.abs(ours.mean(axis=1) - papers.mean(axis=1)) <= 2 * pooled
    assert inside.mean() == pytest.approx(found.iloc[0], abs=0.005)


def test_the_page_says_how_many_of_how_many(study: Study) -> None:
    found = agreement(tables_of(study, ("cub", "ibot", "gta", "none", 30.0)))
    page = agreement_page(study, "agreement", found)
    text = to_markdown(page)
    assert "| All |  | 63 / 64 |" in text
    assert "| Table | With TransMix | 16 / 16 |" in text
    line = found[found["by"] == "all"].iloc[0]
    assert f" {line['pairs_kept']} / {line['pairs']} |" in text
    assert "<td>63 / 64</td>" in to_html(page)


def test_a_study_without_the_papers_cells_says_so(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"tables": ["table2", "agreement"]})
    found = agreement([pd.DataFrame({"acc1_mean": [1.0]})])
    assert found.empty
    text = to_markdown(agreement_page(study, "agreement", found))
    assert "None of this study's cells is one of the paper's." in text
    assert study.runs_of("agreement") == frozenset()
