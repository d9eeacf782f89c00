"""What stands in a hole: state, reason, and a command that a shell takes as it is."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gta.results import State
from gta.study import Run, Study
from gta.study.commands import patterns
from gta.tables.missing import UNCOLLECTED, describe


def run(lam: float = 0.1, seed: int = 0) -> Run:
    return Run("mini_near", 15.0, "tiny_ibot", "gta", "none", lam, seed)


PLACE = "dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none"


def test_runs_of_a_state_share_a_line(tiny_config: dict[str, Any], workdir: Path) -> None:
    for name in ("a b.yaml", "over.yaml"):
        (workdir / name).write_text(yaml.safe_dump({**tiny_config, "study": name[:1]}))
    study = Study.load(["a b.yaml", "over.yaml"])
    failed = State("failed", "loss is NaN at step 7")
    states = {run(0.1, 0): failed, run(0.1, 1): failed, run(1, 0): UNCOLLECTED}
    config = "--config 'a b.yaml' --config over.yaml"
    assert describe(study, [*states, run(1, 1)], states) == (
        f"failed: loss is NaN at step 7: `gta train {config} {PLACE}/lam=0.1/seed={{0,1}}`; "
        f"missing: done, but not collected yet: {PLACE}/lam=1/seed=0: `gta collect {config}`; "
        f"missing: `gta train {config} {PLACE}/lam=1/seed=1`"
    )
    assert describe(study, [], {}) == ""


@pytest.mark.parametrize("lams", [(0.1,), (0.0001, 10)])
def test_a_product_of_lambdas_and_seeds_is_one_pattern(lams: tuple[float, ...]) -> None:
    runs = [run(lam, seed) for lam in lams for seed in (0, 1, 2)]
    assert len(patterns(runs[::-1])) == 1


RUNS = [run(lam, seed) for lam, seed in itertools.product((0.0001, 0.1, 10), (0, 1, 12))]


@given(runs=st.sets(st.sampled_from(RUNS), min_size=1))
def test_patterns_name_each_run_once(runs: set[Run]) -> None:
    names = [name for pattern in patterns(runs) for name in expand(pattern)]
    assert sorted(names) == sorted(run.name for run in runs)


def test_bash_expands_them_alike() -> None:
    runs = [run for run in RUNS if run != RUNS[4]]
    written = patterns(runs)
    assert len(written) == 2
    said = subprocess.check_output(["bash", "-c", f"echo {' '.join(written)}"], text=True)
    assert sorted(said.split()) == sorted(run.name for run in runs)


def expand(pattern: str) -> list[str]:
    """Brace expansion, naively."""
    before, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    choices, _, after = rest.partition("}")
    return [before + choice + tail for choice in choices.split(",") for tail in expand(after)]
