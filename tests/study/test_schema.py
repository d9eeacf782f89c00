"""The JSON schema of configs: shipped, complete, and as strict as the loader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from docs.make.config import PAGE, SCHEMAS, sections
from gta.errors import GtaError
from gta.study import Study
from gta.study.docstrings import attributes_of
from gta.study.schema import as_text, study_schema, tables_schema
from gta.study.values import CHANGE
from gta.study.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))


@cache
def _validator(tables: bool) -> Any:
    return Draft7Validator(tables_schema() if tables else study_schema())


def faults(content: Any, tables: bool = False) -> list[str]:
    """What the schema says of a config."""
    return [error.message for error in _validator(tables).iter_errors(content)]


def test_the_shipped_schemas_are_those_of_the_models() -> None:
    for path, schema in SCHEMAS.items():
        Draft7Validator.check_schema(schema())
        same = path.read_text(encoding="utf-8") == as_text(schema())
        assert same, f"{path.name}: python -m docs.make config"


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_name_their_schema_and_keep_to_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    named = re.search(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    assert named
    assert (file.parent / named[1]) in SCHEMAS
    assert faults(read_yaml(file), tables=file.name == "tables.yaml") == []


def test_every_key_is_described_bounded_and_says_what_a_change_does() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section in sections():
        assert section.about, section.path
        for key, value in section.keys.items():
            where = f"{section.path}.{key}"
            assert value.get("description"), f"{where}: the docstring's Attributes lack it"
            assert value.get(CHANGE, section.change), where
            assert f"| `{key}` |" in page, where
            for number in _numbers(value):
                low = {"minimum", "exclusiveMinimum"} & number.keys()
                high = {"maximum", "exclusiveMaximum"} & number.keys()
                assert len(low) == len(high) == 1, f"{where} has no bounds: {number}"


def _numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """Schemas of numbers within one."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield schema
        schema = [value for key, value in schema.items() if key != "properties"]
    for part in schema if isinstance(schema, list) else ():
        yield from _numbers(part)


def _set(content: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for key in above:
        content = content.setdefault(key, {})
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dataset", ["mini_near"]),
        ("recipe.lrr", 1e-3),
        ("recipe.augment.flipp", 0.5),
        ("recipe.lr", "fast"),
        ("recipe.batch_size", 0),
        ("recipe.std", [0.5, 0.5]),
        ("recipe.precision", "float8"),
        ("methods.gta.redution", "sum"),
        ("methods.finetune.grid", [1]),
        ("seeds", [2**63]),
        ("rates", [0]),
        ("overrides", [{"rates": [15], "recipe": {}}]),
        ("overrides", [{"rate": [15], "recipe": {"lrr": 1}}]),
        ("own_datasets.my/set", {"title": "Mine", "path": "mine"}),
        ("own_tables.t", {"kind": "accuracy", "title": "T", "caption": "C", "row": ["rate"]}),
        ("restrict.table2.rate", [15]),
        ("figure_settings.each.figure1.image", 3),
    ],
)
def test_what_the_loader_refuses_violates_the_schema(path: str, value: Any, tmp_path: Path) -> None:
    content = read_yaml(ROOT / "tests" / "configs" / "tiny.yaml")
    assert faults(content) == []
    _set(content, path, value)
    assert faults(content)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(GtaError, match=re.escape(path.split(".")[0])):
        Study.load([file])


def test_attributes_are_read_with_those_of_bases_and_of_several_names() -> None:
    class Base:
        """A base.

        Attributes:
            one: first.
            two, three: others,
                at length.
        """

    class Derived(Base):
        """Derived.

        Attributes:
            one: again: anew.

        Raises:
            ValueError: never.
        """

    assert attributes_of(Derived) == {
        "one": "again: anew.",
        "two": "others, at length.",
        "three": "others, at length.",
    }
    assert json.loads(as_text(study_schema()))["required"] == ["study"]
