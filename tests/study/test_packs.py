"""Every run in exactly one pack, and no rule that could make another rule's files."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.errors import GtaError
from gta.study import RUN_FIELDS, Run, Study
from gta.study.packs import groups_of, packs_of

cells = st.sets(
    st.builds(
        Run,
        dataset=st.sampled_from(["a", "b", "c"]),
        rate=st.sampled_from([15.0, 30.0, 100.0]),
        source=st.sampled_from(["s", "t"]),
        method=st.sampled_from(["finetune", "gta", "bss"]),
        mix=st.sampled_from(["none", "transmix"]),
        lam=st.sampled_from([0.0, 0.1, 10.0]),
        seed=st.sampled_from([0, 1]),
    ),
    min_size=1,
    max_size=60,
)
packings = st.lists(st.sampled_from(RUN_FIELDS), unique=True)


@given(cells, packings)
def test_every_run_is_in_exactly_one_pack(runs: set[Run], packed: list[str]) -> None:
    packs = packs_of(runs, packed)
    members = [run for pack in packs.values() for run in pack.runs]
    assert sorted(members) == sorted(runs)
    for key, pack in packs.items():
        assert pack.key == key
        assert list(pack.runs) == sorted(pack.runs)
        for run in pack.runs:
            assert all(run.text(field) == text for field, text in key)


@given(cells, packings)
def test_groups_say_exactly_what_the_packs_hold(runs: set[Run], packed: list[str]) -> None:
    """A group's product, filled into its outputs, names each of its packs' runs and no other's."""
    packs = packs_of(runs, packed)
    groups = groups_of(packs.values(), packed)
    served: list[tuple[tuple[str, str], ...]] = []
    for group in groups:
        for point in product(*group.wildcards.values()):
            wildcards = dict(zip(group.wildcards, point, strict=True))
            pack = packs.get(tuple(wildcards.items()))
            if pack is not None:
                served.append(pack.key)
                names = [output.format(**wildcards) for output in group.outputs]
                assert names == [run.name for run in pack.runs]
    assert sorted(served) == sorted(packs)  # each pack by one group, none by two


def test_packing_of_the_mini_study(tiny_study: Study) -> None:
    study = Study({**tiny_study.content, "pack": ["source", "method", "mix", "lam"]})
    assert len(study.packs) == 2 * 2 * 2  # datasets, rates, seeds
    pack = study.pack({"dataset": "mini_near", "rate": "15", "seed": "0", "other": "ignored"})
    assert pack.name == "dataset=mini_near/rate=15/seed=0"
    assert {(run.dataset, run.rate, run.seed) for run in pack.runs} == {("mini_near", 15.0, 0)}
    assert len(pack.runs) == 8
    assert len(study.jobs.groups) == 1


def test_a_table_on_one_data_set_needs_a_rule_of_its_own(tiny_study: Study) -> None:
    study = Study(
        {
            **tiny_study.content,
            "pack": ["source", "method", "mix", "lam"],
            "tables": ["table2", "table5"],
            "restrict": {"table5": {"datasets": ["mini_near"]}},
        }
    )
    assert [set(group.wildcards["dataset"]) for group in study.jobs.groups] == [
        {"mini_far"},
        {"mini_near"},
    ]


def test_all_in_one_pack(tiny_study: Study) -> None:
    study = Study({**tiny_study.content, "pack": list(RUN_FIELDS)})
    assert [pack.name for pack in study.packs] == ["all"]
    assert study.packs[0].runs == study.runs


def test_unknown_pack_is_one_clear_line(tiny_study: Study) -> None:
    study = Study({**tiny_study.content, "pack": ["source", "method", "mix", "lam"]})
    with pytest.raises(GtaError, match="no job for dataset=mini_near/rate=30/seed=0"):
        study.pack({"dataset": "mini_near", "rate": "30", "seed": "0"})
    with pytest.raises(GtaError, match="job is named by dataset, rate, seed"):
        study.pack({"dataset": "mini_near"})
