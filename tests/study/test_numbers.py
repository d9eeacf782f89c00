"""Any number in any key ends in a study or in one clear error, soon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gta.errors import GtaError
from gta.study import Study
from gta.study.schema import study_schema
from gta.study.yaml_files import read_yaml

TINY = Path(__file__).resolve().parents[1] / "configs" / "tiny.yaml"
STANZAS: dict[str, Any] = {
    "own_datasets": {"mine": {"title": "Mine", "path": "mine", "split": {"test": 20}}},
    "own_sources": {"mine": {"title": "Own", "architecture": "vit_mini_patch8", "file": "a.pt"}},
    "own_methods": {},
    "variants": {"plain": {"of": "finetune", "title": "Plain", "recipe": {}}},
    "own_tables": {
        "mine": {
            "kind": "accuracy",
            "title": "Mine",
            "caption": "Accuracy.",
            "cells": [{"source": ["main"], "method": ["finetune"]}],
        }
    },
    "overrides": [{"rate": [15], "recipe": {"lr": 1e-4}}],
    "restrict": {"table3": {}},
    "figure_settings": {"each": {"figure1": {}}},
    "segmentation": {"own_protocols": {"mine": {"mass": 0.5}}, "protocols": ["mine"]},
}
Place = tuple[tuple[str | int, ...], Any]  # keys, and the value with None for the number


@cache
def places() -> list[Place]:
    """Every place of a number in a config that has a stanza of each kind."""
    schema = study_schema()
    return [*_places(schema, schema["$defs"], (), content())]


def content() -> dict[str, Any]:
    """A valid config with a stanza of each kind."""
    return {**read_yaml(TINY), **deepcopy(STANZAS)}


def _places(
    schema: dict[str, Any], defs: dict[str, Any], keys: tuple[Any, ...], there: Any
) -> Iterator[Place]:
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        yield from _places(branch, defs, keys, there)
    if schema.get("type") in ("integer", "number"):
        yield keys, None
    inner = schema.get("items")
    if isinstance(inner, dict):
        if inner.get("type") in ("integer", "number"):
            yield keys, [None] * schema.get("minItems", 1)
        for position, value in enumerate(there if isinstance(there, list) else ()):
            yield from _places(inner, defs, (*keys, position), value)
    below = there if isinstance(there, dict) else {}
    for name, part in schema.get("properties", {}).items():
        yield from _places(part, defs, (*keys, name), below.get(name))
    for part in schema.get("patternProperties", {}).values():
        for name in below:
            yield from _places(part, defs, (*keys, name), below[name])


def put(whole: dict[str, Any], place: Place, number: float) -> dict[str, Any]:
    """The config with the number at the place."""
    (*above, last), shape = place
    inner: Any = whole
    for key in above:
        inner = inner[key] if isinstance(key, int) else inner.setdefault(key, {})
    inner[last] = number if shape is None else [number] * len(shape)
    return whole


NUMBERS = st.one_of(
    st.sampled_from(
        [
            *(0, -1, 1, 2, 3, 7, 48, 2**31, 2**63 - 1, 2**63, 2**64, 10**30),
            *(-0.0, 0.5, 1.0, 99.9, 1e-320, 1e-12, 1e9, 1e308, -1e308),
            *(math.inf, -math.inf, math.nan),
        ]
    ),
    st.integers(-(10**40), 10**40),
    st.floats(),
)


def test_places_are_found() -> None:
    found = {".".join(map(str, keys)) for keys, _ in places()}
    assert len(found) > 90
    assert {"recipe.lr", "recipe.betas", "overrides.0.recipe.augment.shift"} <= found
    assert {"methods.gta.grid", "methods.bss.k", "own_datasets.mine.split.test"} <= found


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.integers(0, 10_000), number=NUMBERS)
@example(place=0, number=0)
def test_any_number_ends_in_a_study_or_in_an_error(place: int, number: float) -> None:
    known = places()
    keys, shape = known[place % len(known)]
    with suppress(GtaError):
        study = Study(put(content(), (keys, shape), number))
        assert all(study.digest(run) for run in study.runs[:1])
