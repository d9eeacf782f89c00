"""Rows of the table, timing in turn, and what is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import MEASURES, _figure, _processors, app, module_of
from benchmarks.figures import Figure, in_turn
from benchmarks.page import shown, to_json, to_markdown

SLOWER = Figure("a", "a / b", (1.5, 1.0, 1.2), goal=1.25, detail="3 s / 2 s")
FASTER = Figure("b", "c / d", (3.0,), goal=4.0, better="higher")
ONLY = Figure("c", "wall clock", (212.4, 210.0), unit="s")


def test_a_figure_is_the_median_and_its_spread() -> None:
    assert (SLOWER.median, SLOWER.spread) == (1.2, 0.5)
    assert [figure.reached for figure in (SLOWER, FASTER, ONLY)] == [True, False, None]


def test_both_ways_are_timed_pair_by_pair_after_one_that_is_not() -> None:
    done: list[str] = []
    ticks = iter(range(100))
    pairs = in_turn(
        lambda: done.append("first"), lambda: done.append("second"), 2, lambda: float(next(ticks))
    )
    assert done == ["first", "second"] * 3
    assert pairs == [(1.0, 1.0)] * 2


def test_json_is_a_list_of_the_agreed_keys() -> None:
    assert json.loads(to_json([SLOWER, FASTER, ONLY])) == [
        {"name": "a", "ratio": 1.2, "spread": 0.5, "goal": 1.25, "better": "lower"},
        {"name": "b", "ratio": 3.0, "spread": None, "goal": 4.0, "better": "higher"},
        {"name": "c", "ratio": pytest.approx(211.2), "spread": pytest.approx(2.4), "goal": None}
        | {"better": "lower"},
    ]


def test_the_page_shows_goals_what_was_left_out_and_the_machine(tmp_path: Path) -> None:
    head = tmp_path / "head.md"
    head.write_text("# Performance\n", encoding="utf-8")
    page = to_markdown(head, [SLOWER, FASTER, ONLY], {"d": "needs a GPU"}, {"CPU": "one"})
    assert page.startswith("# Performance\n")
    assert "| a / b | 1.20 | 0.500 | at most 1.25 | yes | 3 | 3 s / 2 s |" in page
    assert "| c / d | 3.00 |  | at least 4.00 | no | 1 |  |" in page
    assert "| wall clock | 211 s | 2.40 s |  |  | 2 |  |" in page
    assert "- `d`: needs a GPU" in page
    assert "| CPU | one |" in page


@pytest.mark.parametrize(
    ("value", "said"), [(0.0123, "0.012"), (1.339, "1.34"), (28.61, "28.6"), (1470.2, "1470")]
)
def test_three_digits_are_shown(value: float, said: str) -> None:
    assert shown(value) == said


@pytest.mark.parametrize("name", MEASURES)
def test_every_measurement_says_what_it_does_and_how_often(name: str) -> None:
    module = module_of(name)
    assert module.__doc__
    assert module.REPEATS >= 1
    assert callable(module.measure)


def test_slow_measurements_say_how_long_they_take() -> None:
    slow = {name for name in MEASURES if hasattr(module_of(name), "SLOW")}
    assert slow == {"mini", "packs", "packs_mini"}


def test_a_measurement_of_steps_is_made_for_each_kind_of_processor() -> None:
    machine = {"CPU extensions": "AVX512"}
    assert [kind for kind, _ in _processors("penalties", machine)] == ["", "AVX2"]
    assert [kind for kind, _ in _processors("tables", machine)] == [""]
    assert [kind for kind, _ in _processors("penalties", {"CPU extensions": "AVX2"})] == [""]
    row = dataclasses.asdict(SLOWER)
    assert (_figure(row, "AVX2").name, _figure(row, "AVX2").what) == ("a_avx2", "a / b; AVX2")
    assert _figure(row, "") == SLOWER


def test_an_unknown_measurement_is_refused_in_one_line() -> None:
    said = CliRunner().invoke(app, ["colour"])
    assert said.exit_code == 1
    assert "there is no measurement 'colour'" in said.output
