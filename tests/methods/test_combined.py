"""Combinations: which parts fit together, and what parts may override."""

from __future__ import annotations

import pytest

from gta.errors import GtaError
from gta.methods import METHODS, Method
from gta.methods.bss import BSS
from gta.methods.combined import ABOUT, SHARED, SINGLE, combine
from gta.methods.gta import GTA
from gta.methods.lp_ft import LPFT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gta+finetune", "finetune adds nothing"),
        ("gta+gta", "named twice"),
        ("gta+nothing", "no method 'nothing'"),
        ("lora+bitfit", "both choose which parameters train"),
        ("attention_only+linear_probe", "both choose which parameters train"),
        ("l2_sp+lora", "l2_sp needs the source's parameters, which lora changes"),
        ("lora+spd", "spd needs the source's parameters, which lora changes"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(GtaError, match=said) as refused:
        combine(name, METHODS)
    assert "\n" not in str(refused.value)


def test_two_parts_that_set_the_head_or_need_all_features_are_refused() -> None:
    class Other(LPFT):
        name = "other"

    class Features(BSS):
        name = "features"

    known = {**METHODS, "other": Other, "features": Features}
    for name, said in (("lp_ft+other", "set the head"), ("bss+features", "features of the whole")):
        with pytest.raises(GtaError, match=said):
            combine(name, known)


def test_every_attribute_of_a_method_is_shared_or_owned_by_one_part() -> None:
    """Whoever adds to ``Method`` decides what combinations do with it."""
    attributes = {name for name in (*vars(Method), *Method.__annotations__) if name[0] != "_"}
    assert attributes == ABOUT | SHARED | {*SINGLE}


def test_a_part_that_overrides_something_unknown_is_refused() -> None:
    class Strange(GTA):
        name = "strange"

        def error(self, problem: str) -> GtaError:
            return GtaError(problem)

    combine("strange+lora", {**METHODS, "strange": Strange})  # an error's words are its own
    Method.later = None  # type: ignore[attr-defined]
    try:
        Strange.later = 1  # type: ignore[attr-defined]
        with pytest.raises(GtaError, match="strange changes later"):
            combine("strange+lora", {**METHODS, "strange": Strange})
    finally:
        del Method.later  # type: ignore[attr-defined]


def test_a_combination_trains_and_reads_what_its_parts_do() -> None:
    parts = METHODS["gta"](), METHODS["lora"](), METHODS["spatial_entropy"]()
    method = combine("gta+lora+spatial_entropy", METHODS)(parts, (None, 0.0, 0.5))
    assert method.title == "GTA + LoRA + Spatial entropy"
    assert [lam for _, lam in method.terms(2.0)] == [2.0, 0.0, 0.5]
    assert method.trains("blocks.0.attn.qkv.parametrizations.weight.0.lora_a")
    assert not method.trains("blocks.0.mlp.fc1.weight")
    assert method.taps is not None
    assert method.taps.cls_logits == "all"
    assert method.source_taps == parts[0].source_taps
    assert method.lam_of == parts[0].lam_of
