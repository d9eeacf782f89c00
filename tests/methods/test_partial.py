"""Methods that differ in what trains and have no penalty."""

from __future__ import annotations

import pytest

from gta.methods import create

HEAD = {"head.weight", "head.bias"}
ATTENTION = {
    f"blocks.{block}.attn.{part}"
    for block in (0, 1)
    for part in (
        "qkv.weight",
        "qkv.bias",
        "q_norm.weight",
        "q_norm.bias",
        "k_norm.weight",
        "k_norm.bias",
        "proj.weight",
        "proj.bias",
    )
}
MLP = {
    f"blocks.{block}.mlp.{part}"
    for block in (0, 1)
    for part in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
}


def test_finetune_trains_everything(case, trained):
    assert trained(create("finetune")) == {name for name, _ in case.target.named_parameters()}


def test_attention_only_trains_what_deit_attn_only_trains(trained):
    assert trained(create("attention_only")) == ATTENTION | HEAD | {"pos_embed"}


def test_ffn_only_is_the_mirror_image(trained):
    assert trained(create("ffn_only")) == MLP | HEAD | {"pos_embed"}


def test_linear_probe_trains_the_head(trained):
    assert trained(create("linear_probe")) == HEAD


def test_bitfit_trains_every_bias(case, trained):
    ends = {name for name, _ in case.target.named_parameters() if name.split(".")[-1] == "bias"}
    assert trained(create("bitfit")) == ends | HEAD


def test_layernorm_trains_the_norms(trained):
    norms = {f"blocks.{i}.{norm}" for i in (0, 1) for norm in ("norm1", "norm2")} | {"norm"}
    norms |= {f"blocks.{i}.attn.{norm}" for i in (0, 1) for norm in ("q_norm", "k_norm")}
    parameters = {f"{norm}.{part}" for norm in norms for part in ("weight", "bias")}
    assert trained(create("layernorm")) == parameters | HEAD


@pytest.mark.parametrize(
    "name", ["finetune", "attention_only", "ffn_only", "linear_probe", "bitfit", "layernorm"]
)
def test_no_penalty_and_nothing_read(case, name):
    method = create(name)
    assert method.taps is None
    assert method.source_taps is None
    assert method.penalty(case.step(method), 1.0) == {}
    assert method.weight_decay
