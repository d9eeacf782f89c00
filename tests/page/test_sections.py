"""Tables as the page shows them: which cells open, and what they can be narrowed to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gta.errors import GtaError
from gta.page.details import cells_of
from gta.page.sections import Entry, Section, choices, section, unmade
from gta.study import Study
from gta.tables import accuracy, lay_out, select, statistics
from gta.tables import segmentation as masks
from tests.support.frames import acc1, heldout, measured_frame, metrics_frame

Cells = dict[tuple[str, ...], list[Entry]]


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    return Study({**tiny_config, "tables": ["table1", "table2", "table4"]})


def sections(study: Study) -> dict[str, Section]:
    """Tables 1, 2 and 4 of invented numbers; none of their cells is the paper's."""
    selected = select(study, metrics_frame(study, acc1, heldout))
    frames = {
        "table1": statistics(study, "table1", []),
        "table2": accuracy(study, "table2", selected),
        "table4": masks(study, "table4", selected, measured_frame(study)),
    }
    numbers = {cell: number for number, cell in enumerate(cells_of(study))}
    pages = {name: lay_out(study, name, frame) for name, frame in frames.items()}
    return {name: section(study, page, numbers) for name, page in pages.items()}


def rows(made: Section) -> Cells:
    (block,) = made.blocks
    return {line.names: line.entries for line in block.lines}


def test_each_choice_of_lambda_can_be_opened(study: Study) -> None:
    made = sections(study)["table2"]
    entries = rows(made)["Mini near", "GTA"]
    cells = list(cells_of(study))
    opened = [cells[entry.opens] for entry in entries if entry.opens is not None]
    near = ("mini_near", "tiny_ibot", "gta", "none")
    assert opened == [(*near, 15), (*near, 100)] * 2
    assert all(entry.first for entry in entries)  # its own button in both choices
    assert [entry.place["selection"] for entry in entries] == ["test", "test", "heldout", "heldout"]
    assert [float(entry.order) for entry in entries] == [62, 62, 61, 61]
    assert [entry.lam for entry in entries] == ["λ 0.1 sum", "λ 0.1 sum", "λ 1 sum", "λ 1 sum"]


def test_a_table_says_what_it_says_of_a_cell(study: Study) -> None:
    made = sections(study)["table2"]
    number = list(cells_of(study)).index(("mini_near", "tiny_ibot", "gta", "none", 15.0))
    assert made.details[number]["values"] == [
        ["λ by test accuracy", "ours", "λ 0.1 sum: 62.00 ± 1.41"],
        ["λ by held-out accuracy", "ours", "λ 1 sum: 61.00 ± 1.41"],
    ]
    assert made.details[number]["notes"] == []


def test_groups_of_rows_begin_where_the_first_name_changes(study: Study) -> None:
    (block,) = sections(study)["table2"].blocks
    assert [line.names[0] for line in block.lines if line.begins] == ["Mini near", "Mini far"]
    assert block.corner == ["Dataset", "Method"]
    assert block.corner[block.key] == "Method"
    assert [[(head.text, head.span) for head in heads] for heads in block.heads] == [
        [("λ by test accuracy", 2), ("λ by held-out accuracy", 2)],
        [("15 %", 1), ("100 %", 1)] * 2,
    ]


def test_a_source_before_fine_tuning_opens_nothing(study: Study) -> None:
    made = sections(study)["table4"]
    (block,) = made.blocks
    assert block.corner[block.key] == "Model"
    by_model = {line.names[:2]: line.entries for line in block.lines}
    pretrained, tuned = by_model["Mini near", "Pre-trained"], by_model["Mini near", "GTA"]
    assert {entry.opens for entry in pretrained} == {None}
    assert pretrained[0].place["method"] == "pretrained"
    # four measures of either choice are of one cell, which one button opens
    assert len({entry.opens for entry in tuned}) == 1
    assert [entry.first for entry in tuned] == [True, False, False, False] * 2


def test_data_sets_can_be_narrowed_but_open_nothing(study: Study) -> None:
    (block,) = sections(study)["table1"].blocks
    places = [entry.place for line in block.lines for entry in line.entries]
    assert places == [{"dataset": "mini_near"}] * 3 + [{"dataset": "mini_far"}] * 3
    assert all(entry.opens is None for line in block.lines for entry in line.entries)


def test_choices_are_of_fields_with_several_values(study: Study) -> None:
    found = choices(study, sections(study).values())
    assert list(found) == ["selection", "dataset", "method", "rate"]  # one source, one mix
    assert found["dataset"] == {"mini_near": "Mini near", "mini_far": "Mini far"}
    assert found["rate"] == {15: "15 %", 100: "100 %"}
    assert found["method"]["pretrained"] == "Pre-trained"


def test_what_cannot_be_made_says_so(study: Study) -> None:
    made = unmade(study, "table4", GtaError("a <b>: missing; `gta segmentation` makes it"))
    assert made.fault == "a &lt;b&gt;: missing; <code>gta segmentation</code> makes it"
    assert made.blocks == []
