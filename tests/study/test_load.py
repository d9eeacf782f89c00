"""Reading YAML and laying overlays over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge, read_yaml


def write(path: str, content: Any) -> Path:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    Path(path).write_text(text, encoding="utf-8")
    return Path(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("study: [", "bad.yaml: is not YAML: "),
        ("\tstudy: x", "bad.yaml: is not YAML: "),
        (
            "study: !!python/object:os.system x",
            "bad.yaml:1: tag '!!python/object:os.system' is ",
        ),
        ("- a\n- b\n", "bad.yaml: must hold keys and values"),
        ("", "bad.yaml: must hold keys and values"),
        ("study: a\nstudy: b\n", "bad.yaml:2: 'study' is declared twice; keep one"),
        ("recipe: {lr: 1, lr: 2}\n", "bad.yaml:1: 'lr' is declared twice; keep one"),
        ("? [a]\n: b\n", "bad.yaml:1: a key must be a single value"),
    ],
)
def test_bad_yaml_is_one_clear_line(text: str, line: str, workdir: Path) -> None:
    with pytest.raises(GtaError) as error:
        read_yaml(write("bad.yaml", text))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_missing_folder_and_binary_files(workdir: Path) -> None:
    with pytest.raises(GtaError, match=r"^none\.yaml: cannot be read \(No such file"):
        read_yaml(Path("none.yaml"))
    with pytest.raises(GtaError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(workdir)
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(GtaError, match=r"^binary\.yaml: is not YAML"):
        read_yaml(Path("binary.yaml"))


def test_numbers_as_people_write_them(workdir: Path) -> None:
    read = read_yaml(write("n.yaml", "a: 1e-4\nb: 1.0e-4\nc: 5E+2\nd: '1e-4'\ne: 1e4x\n"))
    assert read == {"a": 1e-4, "b": 1e-4, "c": 500.0, "d": "1e-4", "e": "1e4x"}


def test_anchors_may_be_merged(workdir: Path) -> None:
    read = read_yaml(write("m.yaml", "a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, x: 3}\n"))
    assert read["c"] == {"x": 3}


def test_merge_goes_into_mappings_and_replaces_lists() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1}
    assert merge(base, {"a": {"y": 3}, "b": [4], "d": 5}) == {
        "a": {"x": 1, "y": 3},
        "b": [4],
        "c": 1,
        "d": 5,
    }
    assert base == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1}


def test_overlay_alters_what_it_names(tiny_config: dict[str, Any], workdir: Path) -> None:
    base = write("base.yaml", tiny_config)
    overlay = write("more.yaml", {"study": "more", "recipe": {"lr": 5e-4}, "seeds": [7]})
    study = Study.load([base, overlay])
    assert study.name == "more"
    assert study.folder == Path("results/more")
    assert {run.seed for run in study.runs} == {7}
    recipe = study.recipe(study.runs[0])
    assert (recipe.lr, recipe.batch_size) == (5e-4, 8)
    assert study.content["recipe"]["lr"] == 5e-4


@pytest.mark.parametrize("overlay", [{"seeds": [7]}, {"study": "tiny", "seeds": [7]}])
def test_overlay_needs_a_study_of_its_own(
    overlay: dict[str, Any], tiny_config: dict[str, Any], workdir: Path
) -> None:
    files = [write("base.yaml", tiny_config), write("more.yaml", overlay)]
    with pytest.raises(GtaError) as error:
        Study.load(files)
    assert str(error.value) == (
        "more.yaml: study: an overlay must name a study of its own, not 'tiny'"
    )


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        ({}, "base.yaml: recipe.lr: 0 should"),
        ({"recipe": {"batch_size": 16}}, "base.yaml: recipe.lr: 0 should"),
        ({"recipe": {"lr": -1}}, "more.yaml: recipe.lr: -1 should"),
    ],
)
def test_fault_is_laid_to_the_file_that_holds_it(
    overlay: dict[str, Any], line: str, tiny_config: dict[str, Any], workdir: Path
) -> None:
    tiny_config["recipe"]["lr"] = 0
    files = [write("base.yaml", tiny_config), write("more.yaml", {"study": "more", **overlay})]
    with pytest.raises(GtaError) as error:
        Study.load(files)
    assert str(error.value).startswith(line)


def test_missing_role_is_laid_to_the_file_that_sets_the_sources(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    del tiny_config["sources"]["supervised"]
    overlay = write("more.yaml", {"study": "more", "tables": ["table6"]})
    with pytest.raises(GtaError, match=r"^base\.yaml: sources: table6 needs a source"):
        Study.load([write("base.yaml", tiny_config), overlay])


def test_snakemakes_reading_of_a_config_gives_the_same_study(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    text = yaml.safe_dump(tiny_config).replace("lr: 0.001", "lr: 1e-3").replace("0.01", "1e-2")
    file = write("study.yaml", text)
    read_by_snakemake = yaml.safe_load(text)
    assert read_by_snakemake["recipe"]["lr"] == "1e-3"
    study = Study.of_workflow(read_by_snakemake, [file])
    assert study.runs == Study.load([file]).runs == Study(tiny_config).runs
    assert study.recipe(study.runs[0]).lr == 1e-3


def test_a_workflows_files_are_checked_as_overlays(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    files = [write("base.yaml", tiny_config), write("more.yaml", {"seeds": [7]})]
    with pytest.raises(GtaError, match="an overlay must name a study of its own"):
        Study.of_workflow({**tiny_config, "seeds": [7]}, files)


def test_null_lifts_the_restrictions(tiny_config: dict[str, Any], workdir: Path) -> None:
    tiny_config["restrict"] = {"table2": {"datasets": ["mini_near"]}}
    base = write("base.yaml", tiny_config)
    overlay = write("more.yaml", {"study": "more", "restrict": None})
    assert {run.dataset for run in Study.load([base]).runs} == {"mini_near"}
    assert {run.dataset for run in Study.load([base, overlay]).runs} == {"mini_near", "mini_far"}


def test_no_file_at_all() -> None:
    with pytest.raises(GtaError, match="study: missing"):
        Study.load([])
