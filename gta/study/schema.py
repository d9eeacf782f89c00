"""JSON schemas of study configs and of ``tables.yaml``, for editors and the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gta.catalog import ARCHITECTURES, DATASETS, MIXES, SOURCES
from gta.methods import METHODS, Method, settings_model
from gta.study.config import Config
from gta.study.docstrings import attributes_of, summary_of
from gta.study.kinds import discover
from gta.study.own import MethodSettings
from gta.study.recipe import Recipe
from gta.study.run import RUN_FIELDS
from gta.study.tables import Declarations
from gta.study.values import CHANGE

# The newest draft that all editors' YAML plugins know.
DRAFT = "http://json-schema.org/draft-07/schema#"
# A config file may be an overlay, which holds only the keys that it changes.
REQUIRED: dict[type[BaseModel], list[str]] = {Config: ["study"], Recipe: []}
# Names that an editor offers; others may be names of the config's own stanzas.
KNOWN: dict[tuple[str, str], list[str]] = {
    ("Config", "datasets"): [*DATASETS],
    ("Config", "sources"): [*SOURCES],
    ("Config", "extra_methods"): [*METHODS],
    ("Config", "pack"): [*RUN_FIELDS],
    ("Recipe", "architecture"): [*ARCHITECTURES],
    ("OwnSource", "architecture"): [*ARCHITECTURES],
    ("Variant", "of"): [*METHODS],
    ("Cells", "method"): [*METHODS],
    ("Cells", "mix"): [*MIXES],
    ("TableSpec", "kind"): [*discover()],
}


@cache
def _settings(name: str) -> type[BaseModel]:
    """The model of a package's method's settings and grid."""
    return settings_model(METHODS[name], MethodSettings)


class _Schema(GenerateJsonSchema):
    """Pydantic's schema with the descriptions of docstrings, and without its titles."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A section's keys."""
        cls = schema["cls"]
        found = super().model_schema(schema)
        found.pop("title", None)
        found["description"] = summary_of(cls)
        about, keys = attributes_of(cls), found.get("properties", {})
        for key, value in keys.items():
            value.pop("title", None)
            if key in about:
                value["description"] = about[key]
            if names := KNOWN.get((cls.__name__, key)):
                _offer(value, names)
        if "recipe" in keys and cls.model_fields["recipe"].annotation == dict[str, Any]:
            keys["recipe"] |= self.generate_inner(Recipe.__pydantic_core_schema__)
            keys["recipe"].pop("type"), keys["recipe"].pop("additionalProperties")
        if cls is Config:
            keys["methods"] = self._methods() | {
                key: keys["methods"][key]
                for key in ("default", "description", CHANGE)
                if key in keys["methods"]
            }
        return found

    def _methods(self) -> JsonSchemaValue:
        """``methods``: a list of names, or settings by name."""
        known = {name: self._method(name, method) for name, method in METHODS.items()}
        names = {"type": "array", "items": {"type": "string", "examples": [*METHODS]}}
        settings = {
            "type": "object",
            "properties": known,
            # combinations, as gta+lora, and methods of the user's own
            "additionalProperties": {"type": ["object", "null"]},
        }
        return {"anyOf": [settings, names]}

    def _method(self, name: str, method: type[Method]) -> JsonSchemaValue:
        found = super().model_schema(_model_of(_settings(name)))
        about = attributes_of(method) | attributes_of(MethodSettings)
        keys = found["properties"]
        if not method.grid:
            del keys["grid"]
        defaults = {field.name: field.default for field in fields(method)}
        defaults |= {"grid": [*method.grid], "lr": MISSING}
        for key, value in keys.items():
            # null stands for a key that is left out
            kinds = [kind for kind in value["anyOf"] if kind != {"type": "null"}]
            keys[key] = {
                **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}),
                **{name: value[name] for name in (CHANGE,) if name in value},
                "description": about.get(key, ""),
            }
            if defaults[key] is not MISSING:
                keys[key]["default"] = defaults[key]
        return {
            "type": ["object", "null"],
            "description": f"{method.title}. {summary_of(method)}",
            "properties": keys,
            "additionalProperties": False,
        }

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Keys by name: names of another form are refused."""
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        return found

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """A list of a fixed length; its values are all of one type."""
        found = super().tuple_schema(schema)
        if "prefixItems" in found:
            found["items"] = found.pop("prefixItems")[0]
        return found


def _model_of(model: type[BaseModel]) -> core_schema.ModelSchema:
    """The core schema of a model without what wraps it."""
    schema: Any = model.__pydantic_core_schema__
    while schema["type"] != "model":
        schema = schema["schema"]
    return cast(core_schema.ModelSchema, schema)


def _offer(value: JsonSchemaValue, names: list[str]) -> None:
    """Add names that an editor offers, to a text, a list's items or a mapping's values."""
    for inner in (value.get("items"), *value.get("patternProperties", {}).values()):
        if isinstance(inner, dict):
            value = inner
    value["examples"] = names


def study_schema(whole: bool = False) -> dict[str, Any]:
    """The schema of a study's config, or of an overlay on one.

    Args:
        whole: require the keys that a study needs, which an overlay may leave out.
    """
    return _schema_of(Config, "A study of gta, or an overlay on one", whole)


def tables_schema() -> dict[str, Any]:
    """The schema of ``tables.yaml``."""
    return _schema_of(Declarations, "Tables and figures of gta", whole=True)


def _schema_of(model: type[BaseModel], title: str, whole: bool) -> dict[str, Any]:
    found = model.model_json_schema(schema_generator=_Schema)
    if not whole:
        parts = {"Config": found, **found["$defs"]}
        for part, required in REQUIRED.items():
            if part.__name__ in parts:
                parts[part.__name__]["required"] = required
    return {"$schema": DRAFT, "title": title, **found}


def as_text(schema: Mapping[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
