"""What readers see: cells, bold, lambda, notes, recipes, and the four files."""

from __future__ import annotations

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gta import results, tables
from gta.data import store as stores
from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study
from gta.study.recipe import COMPUTING
from gta.tables import Page, accuracy, accuracy_page, select
from gta.tables.layout import Cell, title_of
from gta.tables.notes import method_notes, recipe_note
from gta.tables.render import escape_latex, to_html, to_latex, to_markdown
from tests.support.frames import acc1, heldout, measured_frame, metrics_frame
from tests.support.left import metrics_row
from tests.tables.test_build import counts

LOST = Run("mini_far", 15.0, "tiny_ibot", "bss", "none", 0.001, 1)


@pytest.fixture
def page(tiny_study: Study) -> Page:
    metrics = metrics_frame(tiny_study, acc1, heldout, {LOST})
    states = {LOST: State("failed", "loss is NaN <at step 7> & so on")}
    selected = select(tiny_study, metrics, states)
    return accuracy_page(tiny_study, "table2", accuracy(tiny_study, "table2", selected))


class Table(HTMLParser):
    """The texts of a page's table cells, row by row, a spanning cell repeated."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self._open = False
        self._down: dict[int, tuple[int, str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("src", "href") if name in given]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._fill()
            self._open, self._text = True, ""
            self._span = int(given.get("colspan") or 1), int(given.get("rowspan") or 1)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False
            for _ in range(self._span[0]):
                if self._span[1] > 1:
                    self._down[len(self.rows[-1])] = (self._span[1] - 1, self._text)
                self.rows[-1].append(self._text)
        if tag == "tr":
            self._fill()

    def _fill(self) -> None:
        while (column := len(self.rows[-1])) in self._down:
            left, text = self._down.pop(column)
            if left > 1:
                self._down[column] = (left - 1, text)
            self.rows[-1].append(text)


def test_markdown_shows_both_selections_side_by_side(page: Page) -> None:
    lines = to_markdown(page).splitlines()
    assert lines[0] == "# Methods over sampling rates"
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert rows[0] == [
        "Dataset",
        "Method",
        *(f"λ by {by} accuracy, {rate} %" for by in ("test", "held-out") for rate in (15, 100)),
    ]
    near = {row[1]: row[2:] for row in rows[2:] if row[0] == "Mini near"}
    assert near["Fine-tuning"] == ["41.00 ± 1.41"] * 4
    assert near["L2-SP"] == ["41.00 ± 1.41"] * 4  # one lambda is no choice
    assert near["GTA"] == [
        "**62.00 ± 1.41** (λ 0.1 sum)",
        "**62.00 ± 1.41** (λ 0.1 sum)",
        "**61.00 ± 1.41** (λ 1 sum)",
        "**61.00 ± 1.41** (λ 1 sum) [2]",
    ]
    far = {row[1]: row[2:] for row in rows[2:] if row[0] == "Mini far"}
    assert far["BSS"] == ["- [1]", "21.00 ± 1.41", "- [1]", "21.00 ± 1.41"]
    # where a method is a hole nobody can say which is best
    assert [text.startswith("**") for text in far["GTA"]] == [False, True, False, True]
    assert "[2] At 100 % nothing is held out: λ as chosen at 15 %.  " in lines
    command = f"`gta train {LOST.name}`"
    assert f"[1] failed: loss is NaN &lt;at step 7&gt; &amp; so on: {command}  " in lines
    assert any(line.startswith("-: a hole; its note says why and what to run") for line in lines)


def test_html_holds_the_same_cells_and_needs_nothing_else(page: Page) -> None:
    text = to_html(page)
    table = Table(text)
    assert table.links == []
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert [row[2:] for row in table.rows[:2]] == [
        ["λ by test accuracy"] * 2 + ["λ by held-out accuracy"] * 2,
        ["15 %", "100 %"] * 2,
    ]
    body = {tuple(row[:2]): row[2:] for row in table.rows[3:]}
    assert len(body) == 12
    assert body["Mini near", "GTA"][::3] == [
        "λ\xa00.1 sum 62.00 ± 1.41",
        "λ\xa01 sum 61.00 ± 1.412",
    ]
    assert body["Mini far", "BSS"][0] == "-1"  # the hole and its note
    assert "<b>62.00 ± 1.41</b>" in text
    assert "<li>At 100 % nothing is held out: λ as chosen at 15 %.</li>" in text
    assert "loss is NaN &lt;at step 7&gt; &amp; so on" in text


def test_latex_is_escaped_and_balanced(page: Page) -> None:
    text = to_latex(page)
    for mark in ("toprule", "midrule", "bottomrule", "addlinespace"):
        assert text.count(rf"\{mark}") == 1, mark
    assert r"\textbf{62.00 $\pm$ 1.41}" in text
    assert r"{\scriptsize $\lambda$ 0.1 sum} \textbf{" in text
    assert r"\texttt{gta train dataset=mini\_far/rate=15" in text
    assert r"\textless{}at step 7\textgreater{} \& so on" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows[1:]} == {5}
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert text.isascii() or set(re.findall(r"[^\x00-\x7f]", text)) == set()


def test_latex_escapes_every_special_sign() -> None:
    assert escape_latex(r"a_b 5 % \x λ") == r"a\_b 5 \% \textbackslash{}x $\lambda$"
    assert escape_latex("{#$&}~^|±Δ") == (
        r"\{\#\$\&\}\textasciitilde{}\textasciicircum{}\textbar{}$\pm$$\Delta$"
    )


def test_one_seed_shows_no_deviation(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"seeds": [0]})
    table = accuracy(study, "table2", select(study, metrics_frame(study, acc1, acc1)))
    text = to_markdown(accuracy_page(study, "table2", table))
    assert "| 40.00 |" in text
    assert " ± sample" in text
    assert not re.search(r"\d ±", text)


def test_one_selection_alone_can_be_laid_out(tiny_study: Study) -> None:
    table = accuracy(
        tiny_study, "table2", select(tiny_study, metrics_frame(tiny_study, acc1, heldout))
    )
    page = accuracy_page(tiny_study, "table2", table[table["selection"] == "heldout"])
    text = to_markdown(page)
    assert "| λ by held-out accuracy, 15 % | λ by held-out accuracy, 100 % |" in text
    assert (
        "| Mini far | GTA | **61.00 ± 1.41** (λ 1 sum) | **61.00 ± 1.41** (λ 1 sum) [1] |" in text
    )


def test_with_the_papers_numbers_each_selection_has_a_block(tiny_study: Study) -> None:
    metrics = metrics_frame(tiny_study, acc1, acc1)
    reference = pd.DataFrame(
        [["table2", "mini_near", "tiny_ibot", "gta", "none", 15, 65.5, 0.25]],
        columns=["table", "dataset", "source", "method", "mix", "rate", "acc1_mean", "acc1_std"],
    )
    table = accuracy(tiny_study, "table2", select(tiny_study, metrics), reference)
    page = accuracy_page(tiny_study, "table2", table)
    assert [title for title, _ in page.blocks] == ["λ by test accuracy", "λ by held-out accuracy"]
    cells = page.blocks[0][1]
    assert list(cells.columns) == [
        (rate, what) for rate in ("15 %", "100 %") for what in ("ours", "paper", "Δ")
    ]
    lines = [line for line in to_markdown(page).splitlines() if line.startswith("| Mini near")]
    gta = [part.strip() for part in lines[5].split("|")[1:-1]]
    assert gta[2:] == [
        "**62.00 ± 1.41** (λ 0.1 sum)",
        "65.50 ± 0.25",
        "-3.50 ≉",
        "**62.00 ± 1.41** (λ 0.1 sum)",
        "",
        "",
    ]
    assert r"$-$3.50~$\not\approx$" in to_latex(page)


def test_fields_that_vary_without_a_place_become_rows(tiny_config: dict[str, Any]) -> None:
    tiny_config |= {"tables": ["table5"], "datasets": ["mini_near"]}
    study = Study(tiny_config)
    spec = study.tables["table5"]
    study.tables["table5"] = spec.model_copy(update={"rows": ["method"], "groups": []})
    table = accuracy(study, "table5", select(study, metrics_frame(study, acc1, acc1)))
    cells = accuracy_page(study, "table5", table).blocks[0][1]
    assert cells.index.names == ["Method", "Mix"]
    assert cells.index.tolist() == [
        (method, mix) for method in ("Fine-tuning", "GTA") for mix in ("none", "TransMix")
    ]


def test_statistics_page(tiny_config: dict[str, Any]) -> None:
    study = Study(tiny_config | {"tables": ["table1", "table2"]})
    found = [{**counts("mini_near")[0], "train_images": 12000}]
    page = tables.statistics_page(study, "table1", tables.statistics(study, "table1", found))
    text = to_markdown(page)
    assert "| Dataset | Classes | Training images | Test images |" in text
    assert "| Mini near | 3 | 12,000 | 20 |" in text
    assert "| Mini far | - [1] | - [1] | - [1] |" in text
    assert "[1] mini_far: missing: not prepared: `gta data prepare mini_far`" in text
    assert Table(to_html(page)).rows[2] == ["Mini near", "3", "12,000", "20"]


def test_recipe_note_tells_where_settings_differ(tiny_config: dict[str, Any]) -> None:
    tiny_config["overrides"] = [
        {"rate": [100], "recipe": {"iterations": 8}},
        {"method": ["gta"], "dataset": ["mini_far"], "recipe": {"lr": 0.5}},
    ]
    study = Study(tiny_config)
    note = recipe_note(study, study.runs_of("table2"), partial(title_of, study))
    assert "iterations 4 (15 %), 8 (100 %);" in note
    assert "lr 0.5 (Mini far GTA), 0.001 (all others);" in note
    assert "batch size 8;" in note
    assert "transmix" not in note
    for key in study.config.recipe.model_dump(exclude={*COMPUTING, "transmix", "mixup_cutmix"}):
        assert key.replace("_", " ") in note
    assert "micro batch" not in note  # which decides no number
    assert "silent" not in note
    tiny_config["recipe"] |= {"base_mix": "mixup_cutmix"}
    tiny_config["recipe_sources"] = {"a/b#1": ["base_mix", "mixup_cutmix.prob"], "c": ["lr"]}
    note = recipe_note(Study(tiny_config), study.runs_of("table2"), partial(title_of, study))
    assert "mixup cutmix prob 1;" in note
    assert note.endswith("is silent: base mix, mixup cutmix prob: a/b#1; lr: c.")


def test_method_notes(tiny_study: Study) -> None:
    assert method_notes(tiny_study, ["bss", "gta"]) == [
        "λ tried: BSS: 0.001 | GTA: 0.01, 0.1, 1; reduction sum."
    ]
    plain = Study({**tiny_study.content, "methods": {"gta": {"grid": [1]}}})
    assert method_notes(plain, ["gta"]) == ["λ tried: GTA: 1; λ of the sum."]


def test_a_cell_with_no_number_and_no_note_is_blank() -> None:
    frame = pd.DataFrame([[Cell(float("nan"))]], index=pd.Index(["a"], name="A"), columns=["b|c"])
    page = Page("t", "T", "C", [("", frame)])
    assert "| a |  |" in to_markdown(page)
    assert "b\\|c" in to_markdown(page)


def test_signs_stand_behind_numbers_and_parts_over_wholes() -> None:
    cells = [Cell(3, of=4, form=".0f"), Cell(1.5, 0.25, mark="↑", about='+1 "[0, 2]"', notes=(1,))]
    frame = pd.DataFrame([cells], index=pd.Index(["a"], name="A"), columns=["b", "c"])
    page = Page("t", "T", "C", [("", frame)], notes=["why: `gta train a_b={0,1}`"])
    assert "| a | 3 / 4 | 1.50 ± 0.25 ↑ [1] |" in to_markdown(page)
    html = to_html(page)
    assert "<td>3 / 4</td>" in html
    assert 'title="+1 &quot;[0, 2]&quot;">1.50 ± 0.25<i>↑<sup>1</sup></i></span>' in html
    assert "<li>why: <code>gta train a_b={0,1}</code></li>" in html
    latex = to_latex(page)
    assert r"1.50 $\pm$ 0.25~$\uparrow$\textsuperscript{1}" in latex
    assert r"why: \texttt{gta train a\_b=\{0,1\}}\par" in latex


# From files to files


@pytest.fixture
def finished(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """All runs are collected but two: one failed, one done since."""
    study = Study(tiny_config | {"tables": ["table1", "table2"], "keep_weights": "none"})
    done = [run for run in study.runs if run != LOST]
    for run in done:
        row = metrics_row(study, run, acc1=acc1(run), heldout_acc1=heldout(run))
        results.write(study.run_files(run), "metrics", [row])
    failure = study.run_files(LOST).failure
    failure.parent.mkdir(parents=True)
    failure.write_text("loss is NaN at step 7\n", encoding="utf-8")
    results.write_collected(study, results.read(study, "metrics", done[1:]))
    pixels = np.zeros((48, 48, 3), np.uint8)
    items = [stores.Item(str(i), i % 2, ("train", "test")[i > 2], pixels) for i in range(5)]
    stores.write(study.store("mini_near"), "mini_near", ["a", "b"], items)
    return study


def with_masks(study: Study) -> Study:
    return Study(study.content | {"tables": ["table4"], "keep_weights": "figures"})


@pytest.mark.parametrize("name", ["table1", "table2", "table4"])
def test_tables_are_made_from_a_studys_files(finished: Study, name: str) -> None:
    if name == "table4":
        finished = with_masks(finished)
        measured_frame(finished).to_parquet(finished.folder / "segmentation.parquet")
    table, page = tables.make(finished, name)
    paths = tables.write(finished, table, page)
    assert [path.name for path in paths] == [
        f"{name}.{end}" for end in ("csv", "md", "tex", "html")
    ]
    assert all(path.parent == finished.folder / "tables" for path in paths)
    again = pd.read_csv(paths[0], keep_default_na=False, na_values=[""])
    assert list(again.columns) == list(table.columns)
    assert len(again) == len(table)
    for path in paths[1:]:
        assert finished.tables[name].title in path.read_text(encoding="utf-8")


def test_holes_say_where_the_run_stands(finished: Study) -> None:
    _, page = tables.make(finished, "table2")
    first = min(finished.runs)
    assert f"failed: loss is NaN at step 7: `gta train {LOST.name}`" in page.notes
    assert f"missing: done, but not collected yet: {first.name}: `gta collect`" in page.notes


def test_table_1_counts_the_prepared_data(finished: Study) -> None:
    table, _ = tables.make(finished, "table1")
    assert table.iloc[0].tolist() == ["mini_near", 2, 3, 2, ""]
    assert table["missing"].str.contains("mini_far: missing: not prepared").tolist() == [
        False,
        True,
    ]


def test_a_missing_file_is_one_line(finished: Study) -> None:
    finished = with_masks(finished)
    with pytest.raises(GtaError, match=r"segmentation.parquet: missing; `gta segmentation`"):
        tables.make(finished, "table4")
    (finished.folder / "segmentation.parquet").write_bytes(b"x")
    with pytest.raises(GtaError, match=r"segmentation.parquet: damaged"):
        tables.make(finished, "table4")
