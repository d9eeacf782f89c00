"""The rules as Snakemake reads them: options for every training rule, quoting, inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.resources import Resources
from snakemake.settings.types import (
    ConfigSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from gta.study import RUN_FIELDS, Study
from tests.support.staged import ROOT, TABLES

Rules = dict[str, Any]
# Packs of up to two fields, and of all but one or none, of the 128 that there are.
SIZES = (0, 1, 2, len(RUN_FIELDS) - 1, len(RUN_FIELDS))
PACKS = list(chain.from_iterable(combinations(RUN_FIELDS, n) for n in SIZES))


@pytest.fixture
def read(workdir: Path) -> Iterator[Callable[..., Rules]]:
    """Read the Snakefile for a study; gives the rules by name."""
    (workdir / "config").mkdir()
    for name in ("tables.yaml", "reference"):
        (workdir / "config" / name).symlink_to(ROOT / "config" / name)

    def read(content: Mapping[str, Any], given: Mapping[str, Any], **resources: Any) -> Rules:
        Path("study.yaml").write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1, **resources),
            config_settings=ConfigSettings(configfiles=[Path("study.yaml")], config=dict(given)),
            snakefile=ROOT / "workflow" / "Snakefile",
        )
        return {rule.name: rule for rule in workflow._workflow.rules}

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        yield read


def mini(**changes: Any) -> dict[str, Any]:
    """The embedded study with some keys changed, and the methods that its tables then run."""
    content = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text("utf-8"))
    return {**content, "methods": {}, **changes}


def test_what_is_set_for_train_holds_for_every_training_rule_of_every_pack(
    read: Callable[..., Rules],
) -> None:
    signal = Resources.parse(["slurm_extra=--signal=TERM@120"], allow_expressions=True)
    gpu = Resources.parse(["constraint=a100"], allow_expressions=True)
    most = 0
    for pack in PACKS:
        rules = read(
            mini(seeds=[0]),
            {"pack": list(pack)},
            overwrite_threads={"train": 8},
            overwrite_resources={"train": signal, "train_1": gpu},
        )
        training = {name: rule for name, rule in rules.items() if name.startswith("train_")}
        most = max(most, len(training))
        for name, rule in training.items():
            assert rule.resources["_cores"].value == 8
            assert rule.resources["gpu"].value == 1
            assert rule.resources["slurm_extra"] == signal["slurm_extra"]
            assert ("constraint" in rule.resources) == (name == "train_1")
        assert "slurm_extra" not in rules["collect"].resources
    assert most > 8


def test_every_path_in_a_command_is_quoted(read: Callable[..., Rules]) -> None:
    rules = read(mini(), {})
    commands = {name: rule.shellcmd for name, rule in rules.items() if rule.shellcmd}
    assert commands.keys() == rules.keys() - {"all", "notebooks"}
    for name, command in commands.items():
        for field in re.findall(r"(?<!\{)\{(\w[^{}]*)\}(?!\})", command):
            assert field == "threads" or field.endswith(":q"), f"{name}: {{{field}}}"


def test_a_study_needs_no_source_in_the_role_main(read: Callable[..., Rules]) -> None:
    role = {"source": ["other"]}
    specs = yaml.safe_load((ROOT / "config" / "tables.yaml").read_text("utf-8"))
    for kind, name in (("tables", "table4"), ("figures", "figure1")):
        specs[kind] = {name: specs[kind][name]}
        specs[kind][name]["cells"][0] |= role
    Path("own.yaml").write_text(yaml.safe_dump(specs))
    content = mini(
        sources={"other": "tiny_dino"},
        tables=["table4"],
        figures=["figure1"],
        tables_file="own.yaml",
        restrict={},
    )
    rules = read(content, {})
    weights = str(Study(content).weights("tiny_dino"))
    assert weights in map(str, rules["segmentation"].input)
    assert weights in map(str, rules["figures_of_metrics"].input)


def test_segmentation_waits_for_the_runs_of_its_tables_alone(read: Callable[..., Rules]) -> None:
    content = mini(keep_weights="all")
    study = Study(content | {"tables_file": str(ROOT / "config" / "tables.yaml")})
    inputs = {str(path) for path in read(content, {})["segmentation"].input}
    parts = {str(study.run_files(run).metrics) for run in study.runs_of("table4")}
    assert {path for path in inputs if path.endswith("part.parquet")} == parts
    assert len(parts) < len(study.runs)


def test_a_lambda_in_exponent_form_is_a_value_not_a_pattern(read: Callable[..., Rules]) -> None:
    methods = {"gta": {"grid": [1.0e6]}}
    tables = {"tables": {"small": TABLES["tables"]["small"]}}
    Path("own.yaml").write_text(yaml.safe_dump(tables))
    changes = {"tables": ["small"], "figures": [], "restrict": {}, "tables_file": "own.yaml"}
    content = mini(methods=methods, pack=[], **changes)
    study = Study(content)
    (big, *_) = (run for run in study.runs if run.lam == 1e6)
    rules = read(content, {})
    target = str(study.run_files(big).metrics)
    matching = [rule for rule in rules.values() if rule.is_producer(target)]
    assert len(matching) == 1
