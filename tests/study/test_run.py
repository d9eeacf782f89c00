"""A run's name is its identity, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.errors import GtaError
from gta.study import RUN_FIELDS, Run

NAME = "dataset=cub/rate=15/source=ibot/method=gta/mix=none/lam=10/seed=0"

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
# what a config may hold: at most six significant digits
numbers = st.floats(0, 1e9).map(lambda value: float(f"{value:g}"))
rates = st.floats(0, 100, exclude_min=True).map(lambda value: float(f"{value:g}"))
runs = st.builds(
    Run,
    dataset=names,
    rate=rates,
    source=names,
    method=names,
    mix=st.sampled_from(["none", "transmix"]),
    lam=numbers,
    seed=st.integers(0, 2**63 - 1),
)


@given(runs)
def test_name_round_trip(run: Run) -> None:
    assert Run.parse(run.name) == run


@given(runs, runs)
def test_different_runs_have_different_names(one: Run, other: Run) -> None:
    assert (one == other) == (one.name == other.name)


def test_name_is_the_documented_path_tail() -> None:
    run = Run("cub", 15.0, "ibot", "gta", "none", 10.0, 0)
    assert run.name == NAME
    assert Run("cub", 15.0, "ibot", "bss", "none", 0.0001, 0).text("lam") == "0.0001"
    assert Run("cub", 15.0, "ibot", "gta", "none", 1e6, 0).text("lam") == "1e+06"
    assert RUN_FIELDS == ("dataset", "rate", "source", "method", "mix", "lam", "seed")


def test_seed_keeps_all_its_digits() -> None:
    run = Run("cub", 15.0, "ibot", "gta", "none", 10.0, 12345678)
    assert run.name.endswith("/seed=12345678")
    assert Run.parse(run.name).seed == 12345678


def test_parse_takes_a_name_as_it_is_pasted() -> None:
    assert Run.parse(f" {NAME}/\n") == Run.parse(NAME)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "cub",
        NAME.replace("/seed=0", ""),
        NAME.replace("seed=0", "seed=x"),
        NAME.replace("seed=0", "seed=0.5"),
        NAME.replace("lam=10", "lam=many"),
        NAME.replace("lam=10", "lam=inf"),
        NAME.replace("rate=15", "rate=nan"),
        NAME.replace("dataset=cub", "dataset="),
        NAME + "/more=1",
        "/".join(reversed(NAME.split("/"))),
    ],
)
def test_what_names_no_run_is_one_clear_line(name: str) -> None:
    with pytest.raises(GtaError, match="does not name a run") as error:
        Run.parse(name)
    assert "\n" not in str(error.value)
