"""A digest changes with what decides a run's numbers, and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.load import merge


@pytest.mark.parametrize(
    ("method", "mix", "digest"),
    [
        ("finetune", "none", "9e1dce98f51c7e86"),
        ("finetune", "transmix", "660c6f560e23b938"),
        ("gta", "none", "32c7b227d37b01a6"),
    ],
)
def test_keys_that_came_later_leave_older_results_valid(
    tiny_study: Study, method: str, mix: str, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests from before there was a base mix, repeated augmentation and a warm-up rate."""
    monkeypatch.setattr("gta.study.recipes.RECIPE_VERSION", 1)
    study = Study({**tiny_study.content, "tables": ["table5"]})
    run = next(run for run in study.runs if (run.method, run.mix) == (method, mix))
    assert study.digest(run).startswith(digest)


def digests(study: Study) -> dict[Run, str]:
    return {run: study.digest(run) for run in study.runs}


def changed(study: Study, changes: dict[str, Any]) -> set[Run]:
    """The runs of both studies whose digests differ."""
    before, after = digests(study), digests(Study(merge(study.content, changes)))
    return {run for run in before.keys() & after.keys() if before[run] != after[run]}


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "other"},
        {"tables": ["table2", "table5"]},
        {"tables": ["table3"]},
        {"figures": ["figure1", "figure4"]},
        {"figure_settings": {"images": 3, "seed": 5}},
        {"pack": ["source", "method", "mix", "lam"]},
        {"keep_weights": "all"},
        {"threads": 2},
        {"datasets": ["mini_near"]},
        {"rates": [100, 15]},
        {"seeds": [1, 0, 2]},
        {"sources": {"other_ssl": "tiny_supervised"}},
        {"extra_methods": ["linear_probe"]},
        {"methods": {"gta": {"grid": [0.1, 1, 10]}}},
        {"restrict": {"table2": {"datasets": ["mini_near"]}}},
        # not drawn from by a run without mixing
        {"recipe": {"transmix": {"mixup": 0.5}}},
        # memory, speed and rounding
        {"recipe": {"micro_batch": 2}},
        {"recipe": {"micro_batch": "auto"}},
        {"recipe": {"channels_last": True, "compile": True}},
        {"overrides": [{"method": ["gta"], "recipe": {"micro_batch": 1}}]},
        # what was done before there was a choice
        {"recipe": {"augment": {"randaugment_on": "host"}}},
    ],
)
def test_what_only_places_or_shows_results_changes_no_digest(
    changes: dict[str, Any], tiny_study: Study
) -> None:
    assert changed(tiny_study, changes) == set()


def test_captions_and_layout_change_no_digest(tiny_study: Study, workdir: Path) -> None:
    declared = yaml.safe_load(Path(tiny_study.config.tables_file).read_text(encoding="utf-8"))
    axes = {"rows": ["rate"], "columns": ["method"]}
    declared["tables"]["table2"] |= {"caption": "Other words.", "title": "Other", **axes}
    Path("tables.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    assert changed(tiny_study, {"tables_file": "tables.yaml"}) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"lr": 2e-3}},
        {"recipe": {"iterations": 5}},
        {"recipe": {"batch_size": 16}},
        {"recipe": {"augment": {"flip": 0.25}}},
        {"recipe": {"augment": {"randaugment_on": "device"}}},
        {"recipe": {"evaluation": {"resize": 64}}},
        {"recipe": {"precision": "bfloat16"}},
        {"split": {"seed": 0}},
        {"split": {"heldout": 100}},
    ],
)
def test_what_decides_all_numbers_changes_all_digests(
    changes: dict[str, Any], tiny_study: Study
) -> None:
    assert changed(tiny_study, changes) == set(tiny_study.runs)


def test_a_methods_setting_changes_its_runs(tiny_study: Study) -> None:
    runs = changed(tiny_study, {"methods": {"gta": {"reduction": "mean"}}})
    assert runs == {run for run in tiny_study.runs if run.method == "gta"}


def test_method_settings_are_passed_on_as_given(tiny_study: Study) -> None:
    methods = {
        "l2_sp": {"grid": [0.1], "head": 0.02},
        "block_guide": {"reduction": "mean", "blocks": [1, 2], "tokens": "patches"},
        "bss": None,
    }
    study = Study({**tiny_study.content, "tables": ["table2", "table3"], "methods": methods})
    assert study.methods.settings("l2_sp") == {"head": 0.02}
    assert study.methods.settings("block_guide") == {
        "reduction": "mean",
        "blocks": [1, 2],
        "tokens": "patches",
    }
    assert study.methods.settings("bss") == study.methods.settings("gta") == {}
    assert study.grid("bss") == (0.0001, 0.001, 0.01)


def test_transmix_settings_change_the_mixed_runs(tiny_study: Study) -> None:
    study = Study({**tiny_study.content, "tables": ["table5"]})
    runs = changed(study, {"recipe": {"transmix": {"mixup": 0.5}}})
    assert runs == {run for run in study.runs if run.mix == "transmix"}


def subset(values: list[Any]) -> st.SearchStrategy[list[Any] | None]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, unique=True)


@given(
    fields=st.fixed_dictionaries(
        {
            "dataset": subset(["mini_near", "mini_far"]),
            "rate": subset([15, 100]),
            "source": subset(["tiny_ibot", "tiny_dino"]),
            "method": subset(["finetune", "gta", "bss"]),
            "mix": subset(["none", "transmix"]),
        }
    )
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_override_changes_exactly_the_runs_that_it_matches(
    fields: dict[str, list[Any] | None], tiny_study: Study
) -> None:
    study = Study({**tiny_study.content, "tables": ["table2", "table5", "tableA1"]})
    given_fields = {field: values for field, values in fields.items() if values is not None}
    changes = {"overrides": [{**given_fields, "recipe": {"lr": 7e-4}}]}
    expected = {
        run
        for run in study.runs
        if all(getattr(run, field) in values for field, values in given_fields.items())
    }
    if not expected:
        with pytest.raises(GtaError, match=r"overrides\.0: no run matches all of its fields"):
            Study({**study.content, **changes})
        return
    assert changed(study, changes) == expected
    altered = Study({**study.content, **changes})
    assert {run for run in study.runs if altered.recipe(run).lr == 7e-4} == expected


def test_the_last_matching_override_wins(tiny_study: Study) -> None:
    overrides = [
        {"dataset": ["mini_far"], "recipe": {"lr": 1e-5, "drop_path": 0.1}},
        {"method": ["gta"], "recipe": {"lr": 1e-6}},
    ]
    study = Study({**tiny_study.content, "overrides": overrides})
    for run in study.runs:
        recipe = study.recipe(run)
        far, gta = run.dataset == "mini_far", run.method == "gta"
        assert recipe.lr == (1e-6 if gta else 1e-5 if far else 1e-3)
        assert recipe.drop_path == (0.1 if far else 0.0)


def test_an_override_that_says_what_holds_anyway_changes_nothing(tiny_study: Study) -> None:
    assert changed(tiny_study, {"overrides": [{"recipe": {"lr": 1e-3}}]}) == set()


def test_digests_do_not_depend_on_the_order_of_keys(tiny_study: Study) -> None:
    content = {**tiny_study.content}
    content["recipe"] = dict(reversed(content["recipe"].items()))
    assert digests(Study(content)) == digests(tiny_study)


def test_the_store_is_named_by_what_renders_it(tiny_study: Study, workdir: Path) -> None:
    reseeded = Study({**tiny_study.content, "procedural": {"seed": 1}})
    assert reseeded.store("mini_near") != tiny_study.store("mini_near")
    assert reseeded.store("mini_near").parent == Path("data/store")
    retrained = Study(merge(tiny_study.content, {"recipe": {"lr": 2e-3}}))
    assert retrained.store("mini_near") == tiny_study.store("mini_near")


def test_places_follow_the_environment(
    tiny_study: Study, monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    assert tiny_study.weights("tiny_ibot").parent == Path("data/store/sources")
    assert tiny_study.archives_root == Path("data/archives")
    assert tiny_study.weights_root == Path("data/weights")
    for name in ("ARCHIVES", "STORE", "WEIGHTS"):
        monkeypatch.setenv(f"GTA_{name}", f"/elsewhere/{name.lower()}")
    assert tiny_study.archives_root == Path("/elsewhere/archives")
    assert tiny_study.weights_root == Path("/elsewhere/weights")
    assert tiny_study.store("mini_far").parent == Path("/elsewhere/store")
    # what is made here never lies among files placed by hand, which may be read-only
    assert tiny_study.weights("tiny_ibot").parent == Path("/elsewhere/store/sources")
