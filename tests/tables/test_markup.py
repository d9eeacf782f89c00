"""Titles, captions and notes are shown as they are in every format, whatever stands in them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import markdown_it
import pandas as pd
import pytest

from gta.errors import GtaError
from gta.study import Study
from gta.tables import Page, accuracy, accuracy_page, select
from gta.tables.layout import Cell
from gta.tables.render import to_html, to_latex, to_markdown
from tests.support.frames import acc1, heldout, metrics_frame

NASTY = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "`code` | *bold* _italic_ ~x~",
    "[old] US $5 to $10",
    "a\\b & &amp; #1 100 %",
    "<img src=x onerror=alert(1)>",
]


class Reader(HTMLParser):
    """Elements and text of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data


def page(text: str) -> Page:
    index = pd.MultiIndex.from_tuples([(text, "row")], names=[text, "Method"])
    columns = pd.MultiIndex.from_tuples([(text, "15 %")])
    cells = pd.DataFrame([[Cell(1.5, notes=(1,))]], index=index, columns=columns)
    return Page("t", text, text, [(text, cells)], [f"failed: {text}: `gta train x`"], [text])


@pytest.mark.parametrize("text", NASTY)
def test_html_shows_it_and_runs_nothing(text: str) -> None:
    shown = Reader(to_html(page(text)))
    assert not shown.tags & {"script", "img", "a"}
    # title, heading, caption, block, its label, two headings, a note, a remark
    bare = text.replace("`", "")  # in notes and remarks backquotes make code
    assert shown.text.count(text) >= 6
    assert shown.text.replace("`", "").count(bare) >= 8
    assert "default-src 'none'" in to_html(page(text))


@pytest.mark.parametrize("text", NASTY)
def test_markdown_shows_it_and_makes_nothing_of_it(text: str) -> None:
    render = markdown_it.MarkdownIt("commonmark").enable("table").render
    shown = Reader(render(to_markdown(page(text))))
    assert not shown.tags & {"script", "img", "a", "em"}
    assert shown.text.count(text) >= 5
    assert "gta train x" in shown.text
    assert "code" in shown.tags


@pytest.mark.parametrize("text", NASTY)
def test_latex_takes_it_for_text(text: str) -> None:
    latex = to_latex(page(text))
    body = latex[latex.index(r"\midrule") :].splitlines()[1]
    assert not body.lstrip().startswith(("[", "*"))  # an option of the row before
    for mark in "$%#_<>":
        if mark in text:
            assert mark not in body.replace(f"\\{mark}", "").replace("$-$", "")


def test_a_caption_is_one_paragraph(tiny_config: dict[str, Any]) -> None:
    cells = [{"source": ["main"], "method": ["finetune"]}]
    own = {"kind": "accuracy", "title": " Own ", "caption": "Two\n\nparagraphs", "cells": cells}
    study = Study(tiny_config | {"own_tables": {"own": own}})
    assert (study.specs["own"].title, study.specs["own"].caption) == ("Own", "Two paragraphs")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"own_datasets": {"a": {"title": "A\nB", "path": "x"}}}, r"'A\nB' has line breaks or"),
        ({"own_datasets": {"a": {"title": " ", "path": "x"}}}, "own_datasets.a.title: is empty"),
        ({"own_datasets": {"a": {"title": "\x1b[31mA", "path": "x"}}}, "control characters"),
        (
            {
                "own_datasets": {"a": {"title": "Mini near", "path": "x"}},
                "datasets": ["mini_near", "a"],
            },
            "the datasets mini_near and a are both titled 'Mini near'; change one title",
        ),
    ],
)
def test_titles_are_one_line_and_distinct(
    tiny_config: dict[str, Any], change: dict[str, Any], line: str
) -> None:
    with pytest.raises(GtaError, match=r"^[^\n]*$") as error:
        Study(tiny_config | change)
    assert line in str(error.value)


# Layouts


def laid_out(config: dict[str, Any], **stanza: Any) -> Page:
    cells = [{"source": ["main"], "method": ["finetune", "gta"]}]
    own = {"kind": "accuracy", "title": "Own", "caption": "C", "cells": cells, **stanza}
    study = Study(config | {"tables": [], "own_tables": {"own": own}})
    metrics = metrics_frame(study, acc1, heldout, ())
    return accuracy_page(study, "own", accuracy(study, "own", select(study, metrics)))


@pytest.mark.parametrize(
    ("stanza", "shape"),
    [
        ({"cells": [{"source": ["main"], "method": ["finetune"], "rate": [15]}]}, (2, 2)),
        ({"rows": ["dataset"], "columns": ["method"]}, (4, 4)),
        ({"groups": ["dataset"]}, (4, 4)),
        ({"columns": ["dataset", "rate", "method"]}, (1, 16)),
    ],
    ids=["nothing named", "rows, columns", "groups alone", "one row"],
)
def test_every_layout_is_a_table(
    tiny_config: dict[str, Any], stanza: dict[str, Any], shape: tuple[int, int]
) -> None:
    page = laid_out(tiny_config, **stanza)
    assert page.blocks[0][1].shape == shape
    assert page.blocks[0][1].index.nlevels == len(page.blocks[0][1].index.names)
    for render in (to_markdown, to_latex, to_html):
        assert "Own" in render(page)


def test_one_dataset_one_rate_one_method(tiny_config: dict[str, Any]) -> None:
    small = tiny_config | {"datasets": ["mini_near"], "rates": [15]}
    cells = [{"source": ["main"], "method": ["finetune"]}]
    page = laid_out(small, cells=cells)
    assert page.blocks[0][1].shape == (1, 2)
    assert "Fine-tuning" in to_markdown(page)


def test_a_transposed_table_compares_methods_and_not_rates(tiny_config: dict[str, Any]) -> None:
    upright = laid_out(tiny_config, groups=["dataset"], rows=["method"], columns=["rate"])
    turned = laid_out(tiny_config, groups=["dataset"], rows=["rate"], columns=["method"])

    def bold(page: Page) -> set[tuple[tuple[str, Any], ...]]:
        cells = page.blocks[0][1].to_numpy().ravel()
        return {tuple(sorted(cell.place.items())) for cell in cells if cell.best}

    assert bold(turned) == bold(upright)
    assert len(bold(turned)) == 2 * 2 * 2
    assert "Bold: the best of a row within a dataset." in turned.remarks
    assert "Bold: the best of a column within a dataset." in upright.remarks


def test_accuracies_on_different_images_are_not_compared(tiny_config: dict[str, Any]) -> None:
    page = laid_out(tiny_config, rows=["rate"], columns=["dataset"])
    assert "Bold: the best of a dataset and rate." in page.remarks
    cells = [cell for cell in page.blocks[0][1].to_numpy().ravel() if cell.best]
    assert [cell.place["method"] for cell in cells] == ["gta"] * 8
