"""How a recipe is computed: which values its keys take."""

from __future__ import annotations

from typing import Any

import pytest

from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge
from gta.study.recipe import COMPUTING, Recipe


@pytest.mark.parametrize("size", [None, 1, 100, "auto"])
def test_a_micro_batch_is_a_size_or_auto(tiny_study: Study, size: Any) -> None:
    study = Study(merge(tiny_study.content, {"recipe": {"micro_batch": size}}))
    assert study.recipe(study.runs[0]).micro_batch == size


def test_by_default_a_batch_is_taken_at_once_and_plainly(tiny_study: Study) -> None:
    recipe = tiny_study.recipe(tiny_study.runs[0])
    assert (recipe.micro_batch, recipe.channels_last, recipe.compile) == (None, False, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("micro_batch", 0),
        ("micro_batch", 2.5),
        ("micro_batch", "half"),
        ("micro_batch", True),
        ("channels_last", "yes"),
        ("compile", 1),
    ],
)
def test_another_value_is_one_line(tiny_study: Study, key: str, value: Any) -> None:
    with pytest.raises(GtaError, match=rf"recipe\.{key}: ") as raised:
        Study(merge(tiny_study.content, {"recipe": {key: value}}))
    assert "\n" not in str(raised.value)


def test_what_is_left_out_of_digests_is_of_the_recipe() -> None:
    assert Recipe.model_fields.keys() >= COMPUTING
