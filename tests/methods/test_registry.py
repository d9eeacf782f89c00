"""Names and settings of the methods."""

from __future__ import annotations

import pytest

from gta import catalog
from gta.errors import GtaError
from gta.methods import METHODS, create, settings


def test_registry_and_catalog_name_the_same_methods():
    assert set(METHODS) == set(catalog.METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_registry_and_catalog_agree_on_settings(name):
    assert set(settings(name)) == set(catalog.METHODS[name].settings)


@pytest.mark.parametrize("name", METHODS)
def test_catalog_gives_a_grid_where_lambda_has_an_effect(name):
    penalised = type(create(name)).terms is not METHODS["finetune"].terms
    assert bool(catalog.METHODS[name].grid) == penalised


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gtx", {}, "no method is named 'gtx'; there are finetune, l2_sp,"),
        ("gta", {"reductoin": "sum"}, "method gta: unknown setting 'reductoin'; it accepts red"),
        ("finetune", {"k": 1}, "method finetune: unknown setting 'k'; it accepts none"),
        ("gta", {"reduction": "max"}, "method gta: reduction must be sum or mean, not 'max'"),
        ("gta", {"blocks": "last"}, "method gta: blocks must be all or a list of indices"),
        ("gta", {"blocks": []}, "method gta: blocks must be all or a list of indices"),
        ("gta", {"blocks": [0.5]}, "method gta: blocks must be all or a list of indices"),
        ("msa_guide", {"tokens": "patch"}, "method msa_guide: tokens must be all, patches or cls"),
        ("block_guide", {"reduction": 1}, "method block_guide: reduction must be sum or mean"),
        ("bss", {"k": 0}, "method bss: k must be a whole number from 1, not 0"),
        ("bss", {"k": True}, "method bss: k must be a whole number from 1, not True"),
        ("l2_sp", {"head": -1}, "method l2_sp: head must be a number from 0, not -1"),
        ("l2_sp", {"head": "small"}, "method l2_sp: head must be a number from 0, not 'small'"),
    ],
)
def test_what_a_method_does_not_know_is_an_error(name, values, message):
    with pytest.raises(GtaError) as raised:
        create(name, **values)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_methods_are_values():
    assert create("gta", blocks=[0, 1]) == create("gta", blocks=(0, 1))
    assert create("gta", reduction="mean") != create("gta")
