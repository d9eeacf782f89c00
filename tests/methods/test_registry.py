"""Names, facts and settings of the package's methods."""

from __future__ import annotations

import pytest

from gta.errors import GtaError
from gta.methods import METHODS, Method, create

ORDER = ["finetune", "l2_sp", "bss", "attention_only", "ffn_only", "gta"]


def test_the_papers_methods_come_first_in_its_order():
    assert list(METHODS)[: len(ORDER)] == ORDER


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_facts_of_a_method(method):
    penalised = (method.penalty, method.updating) != (Method.penalty, Method.updating)
    assert bool(method.grid) == penalised
    assert (method.default_lam in method.grid) == penalised
    assert method.title
    assert method() == create(method.name)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gtx", {}, "no method is named 'gtx'; there are finetune, l2_sp,"),
        ("gta", {"reductoin": "sum"}, "method gta: unknown setting 'reductoin'; it accepts red"),
        ("finetune", {"k": 1}, "method finetune: unknown setting 'k'; it accepts none"),
        ("gta", {"reduction": "max"}, "method gta: reduction: 'max': Input should be 'sum' or"),
        ("gta", {"blocks": "last"}, "method gta: blocks: 'last': Input should be 'all'"),
        ("gta", {"blocks": []}, "method gta: blocks: []: "),
        ("gta", {"blocks": [0.5]}, "method gta: blocks: "),
        ("msa_guide", {"tokens": "patch"}, "method msa_guide: tokens: 'patch': "),
        ("bss", {"k": 0}, "method bss: k: 0: Input should be greater than or equal to 1"),
        ("bss", {"k": True}, "method bss: k: True: Input should be a valid integer"),
        ("l2_sp", {"head": -1}, "method l2_sp: head: -1: Input should be greater than or equal"),
        ("l2_sp", {"head": "small"}, "method l2_sp: head: 'small': Input should be a valid number"),
    ],
)
def test_invalid_settings_are_errors(name, values, message):
    with pytest.raises(GtaError) as raised:
        create(name, **values)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_methods_are_values():
    assert create("gta", blocks=[0, 1]) == create("gta", blocks=(0, 1))
    assert create("gta", reduction="mean") != create("gta")
