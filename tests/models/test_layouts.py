"""Checkpoints in the layout of each code base: equal features, and every dropped name listed."""

from __future__ import annotations

import argparse
import re
import sys
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from gta.catalog import ARCHITECTURES, SOURCES, ArchitectureInfo
from gta.catalog import architectures as catalog
from gta.data.fetch.archives import Checked
from gta.errors import GtaError
from gta.models.prepared import read_metadata
from gta.models.published import Choice
from gta.models.sources import convert, load_source
from gta.models.vit import create

SIDE, WIDTH, HEADS = 224, 24, 4
SMALL: dict[str, Any] = {"patch_size": 56, "embed_dim": WIDTH, "depth": 2, "num_heads": HEADS}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two_heads": {"num_heads": 2},
    "pooled": {"global_pool": "avg"},
    "scaled": {"init_values": 1.0},
    "registers": {"init_values": 1.0, "reg_tokens": 4, "no_embed_class": True},
    "clip": {"pre_norm": True, "act_layer": QuickGELU},
}
STAGES = {"embed_dim": 8, "img_size": SIDE}
# Toys that timm builds by the name of a larger model.
OF_TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov3": ("vit_small_patch16_dinov3", SMALL | {"num_heads": 3}),
    "dinov3_biases": ("vit_small_patch16_dinov3_qkvb", SMALL | {"num_heads": 3}),
    "siglip": ("vit_base_patch16_siglip_224", SMALL),
    "quickgelu": ("vit_base_patch16_clip_quickgelu_224", SMALL),
    "gelu": ("vit_base_patch16_clip_224", SMALL),
    "swin": ("swin_tiny_patch4_window7_224", STAGES | {"depths": (1, 1), "num_heads": (1, 2)}),
    "gcvit": ("gcvit_xxtiny", STAGES | {"embed_dim": 16}),
}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two-block ViTs in the catalog."""
    added = {
        name: ArchitectureInfo(None, MappingProxyType({**SMALL, **kw}))
        for name, kw in VARIANTS.items()
    }
    added |= {
        name: ArchitectureInfo(of, MappingProxyType(kw)) for name, (of, kw) in OF_TIMM.items()
    }
    for module in (catalog, sys.modules["gta.models.vit"], sys.modules["gta.models.sources"]):
        monkeypatch.setattr(module, "ARCHITECTURES", {**ARCHITECTURES, **added})


def model_of(variant: str, seed: int = 0, **changes: Any) -> Any:
    """A toy whose weights are all random, norms and biases too."""
    torch.manual_seed(seed)
    if variant in OF_TIMM:
        name, settings = OF_TIMM[variant]
        model = timm.create_model(name, num_classes=0, **settings).eval()
    else:
        model = VisionTransformer(num_classes=0, **{**SMALL, **VARIANTS[variant], **changes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


def other(*names: str) -> dict[str, Tensor]:
    return {name: torch.ones(3, 4) for name in names}


def beit(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """q_bias and v_bias in place of qkv.bias; that of the keys is zero."""
    renamed = {}
    for name, tensor in weights.items():
        if name.endswith("qkv.bias"):
            tensor[WIDTH : 2 * WIDTH] = 0
            renamed[name.replace("qkv.bias", "q_bias")] = tensor[:WIDTH].clone()
            renamed[name.replace("qkv.bias", "v_bias")] = tensor[2 * WIDTH :].clone()
        else:
            renamed[name] = tensor
    return renamed


def dinov2(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Registers, positions for [cls], blocks in chunks."""
    renamed = {re.sub(r"^blocks\.(\d)", r"blocks.0.\1", n): t for n, t in weights.items()}
    position = torch.randn(1, 1, WIDTH)
    renamed["register_tokens"] = renamed.pop("reg_token")
    renamed["pos_embed"] = torch.cat([position, renamed["pos_embed"]], dim=1)
    renamed["cls_token"] = renamed["cls_token"] - position
    return renamed


def transformers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if ".attn.qkv." in name:
            block, kind = name.split(".attn.qkv.")
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{block}.attention.attention.{part}.{kind}"] = piece.clone()
            continue
        for old, new in (
            (".attn.proj.", ".attention.output.dense."),
            (".norm1.", ".layernorm_before."),
            (".norm2.", ".layernorm_after."),
            (".mlp.fc1.", ".intermediate.dense."),
            (".mlp.fc2.", ".output.dense."),
            ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
            ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"),
        ):
            name = name.replace(old, new)
        renamed[re.sub(r"^norm\.", "layernorm.", name)] = tensor
    return {re.sub(r"^blocks\.", "encoder.layer.", name): t for name, t in renamed.items()}


def clip(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        for old, new in (
            ("patch_embed.proj", "conv1"),
            ("pos_embed", "positional_embedding"),
            ("cls_token", "class_embedding"),
            ("blocks.", "transformer.resblocks."),
            ("norm_pre", "ln_pre"),
            (".norm", ".ln_"),
            ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj", "attn.out_proj"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        ):
            name = name.replace(old, new)
        renamed[re.sub(r"^norm\.", "ln_post.", name)] = tensor
    renamed["class_embedding"] = renamed["class_embedding"].reshape(-1)
    renamed["positional_embedding"] = renamed["positional_embedding"][0]
    return renamed


def dinov3(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Storage tokens, layer scales by their own name, biases that are zero, what is computed."""
    renamed = {re.sub(r"gamma_(\d)$", r"ls\1.gamma", n): t for n, t in weights.items()}
    renamed["storage_tokens"] = renamed.pop("reg_token")
    for block in range(2):
        renamed[f"blocks.{block}.attn.qkv.bias"] = torch.zeros(3 * WIDTH)
        renamed[f"blocks.{block}.attn.qkv.bias_mask"] = torch.ones(3 * WIDTH)
    return renamed | other("rope_embed.periods")


def with_biases(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINOv3 whose biases are not zero; those of the keys are masked."""
    renamed = dinov3({n: t for n, t in weights.items() if not n.endswith("_bias")})
    for block in range(2):
        own = [weights[f"blocks.{block}.attn.{part}_bias"] for part in "qv"]
        renamed[f"blocks.{block}.attn.qkv.bias"] = torch.cat([own[0], torch.ones(WIDTH), own[1]])
    return renamed


def swin(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Microsoft's: merging ends a stage, and buffers are kept."""
    renamed = {n.replace("layers.1.down", "layers.0.down"): t for n, t in weights.items()}
    index = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49).long()}
    return renamed | index | other("head.weight")


DECODER = other("decoder_embed.weight", "decoder_blocks.0.norm1.weight", "mask_token")
NORM = ("norm.bias", "norm.weight")
# Of each layout: the toy, how its file looks, the user's choice, and the names that are dropped.
LAYOUTS: dict[str, tuple[str, Callable[[dict[str, Tensor]], Any], Choice, set[str]]] = {
    "moco v3": (
        "plain",
        lambda w: {
            "arch": "vit_small",
            "state_dict": under("module.base_encoder.", w | other("head.0.weight"))
            | under("module.momentum_encoder.", {n: t + 1 for n, t in w.items()})
            | other("module.predictor.0.weight"),
        },
        Choice(key="module.base_encoder", heads=HEADS),
        {"module.base_encoder.head.0.weight", "module.predictor.0.weight"},
    ),
    "sdssl": (
        "plain",
        lambda w: {
            "state_dict": under("teacher.net.", w)
            | under("student.net.", {n: t + 1 for n, t in w.items()})
            | other("teacher.projector.0.weight", "student.predictor.0.weight")
        },
        Choice(key="teacher.net", heads=HEADS),
        {"teacher.projector.0.weight", "student.predictor.0.weight"},
    ),
    "dino, its student": (
        "plain",
        lambda w: {
            "student": under("module.backbone.", w) | other("module.head.mlp.0.weight"),
            "teacher": under("backbone.", {n: t + 1 for n, t in w.items()}),
            "args": argparse.Namespace(arch="vit_small"),
        },
        Choice(key="student"),
        {"module.head.mlp.0.weight"},
    ),
    "net": ("plain", lambda w: {"net": w, "epoch": 3}, Choice(key="net"), set()),
    "nested": ("plain", lambda w: {"a": {"b": under("m.", w)}}, Choice(key="a.b"), set()),
    "mae, encoder": ("plain", lambda w: {"model": w}, Choice(), set()),
    "mae, pooled": ("pooled", lambda w: {"model": w | DECODER}, Choice(), {*DECODER, *NORM}),
    "mfm": (
        "plain",
        lambda w: {"model": under("encoder.", beit(w)) | other("decoder.0.weight")},
        Choice(),
        {"decoder.0.weight"},
    ),
    "dinov2, registers": (
        "registers",
        lambda w: {"teacher": under("backbone.", dinov2(w)) | other("backbone.mask_token")},
        Choice(),
        {"backbone.mask_token"},
    ),
    "transformers": (
        "plain",
        lambda w: (
            under("vit.", transformers(w))
            | other("vit.pooler.dense.weight", "vit.embeddings.mask_token")
        ),
        Choice(),
        {"vit.pooler.dense.weight", "vit.embeddings.mask_token"},
    ),
    "dinov3": (
        "dinov3",
        lambda w: {"teacher": under("backbone.", dinov3(w) | other("mask_token"))},
        Choice(),
        {"backbone.mask_token", "backbone.rope_embed.periods"}
        | {f"backbone.blocks.{i}.attn.qkv.{end}" for i in (0, 1) for end in ("bias", "bias_mask")},
    ),
    "dinov3, biases": (
        "dinov3_biases",
        with_biases,
        Choice(),
        {"rope_embed.periods"} | {f"blocks.{i}.attn.qkv.bias_mask" for i in (0, 1)},
    ),
    "eva, timm's names": ("dinov3_biases", lambda w: w, Choice(), set()),
    "siglip, timm's names": ("siglip", lambda w: {"state_dict": w}, Choice(), set()),
    "swin": (
        "swin",
        lambda w: {"model": swin(w), "config": {}},
        Choice(),
        {"layers.0.blocks.0.attn.relative_position_index", "head.weight"},
    ),
    "gc vit, timm's names": ("gcvit", lambda w: {"state_dict": w}, Choice(), set()),
    "clip": (
        "clip",
        lambda w: (
            under("visual.", clip(w) | other("proj"))
            | other("token_embedding.weight", "logit_scale", "transformer.resblocks.0.ln_1.weight")
        ),
        Choice(),
        {"visual.proj", "token_embedding.weight", "logit_scale"}
        | {"transformer.resblocks.0.ln_1.weight"},
    ),
}


def converted(content: Any, variant: str, choice: Choice, folder: Path) -> Path:
    file = folder / "checkpoint.pth"
    torch.save(content, file)
    convert(Checked(file, 0, "", "x", "unverified"), variant, folder / "out.safetensors", choice)
    return folder / "out.safetensors"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_of_the_original(layout, tmp_path):
    variant, wrap, choice, dropped = LAYOUTS[layout]
    original = model_of(variant if variant != "pooled" else "plain")
    weights = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    content = wrap(weights)  # which may change its model's own biases
    original.load_state_dict(weights)
    path = converted(content, variant, choice, tmp_path)
    loaded = load_source(path, variant, SIDE)
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = original.forward_features(images), loaded.forward_features(images)
        if variant == "pooled":  # the norm lies behind the pooling, and is new
            original.norm = torch.nn.Identity()
            patches = original.forward_features(images)[:, 1:].mean(dim=1)
            expected = torch.nn.functional.layer_norm(patches, (WIDTH,), eps=1e-6)
            found = loaded.forward_head(found, pre_logits=True)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    listed = set(filter(None, read_metadata(path)["dropped"].split(", ")))
    others = {n for n in listed if re.search(r"momentum_encoder\.|student\.net\.", n)}
    assert listed - others == dropped


def test_openais_clip_needs_its_own_activation(tmp_path):
    """Features are those of timm's own conversion; GELU in place of QuickGELU is told apart."""
    original = model_of("quickgelu")
    content = under("visual.", clip(original.state_dict()))
    images = torch.randn(2, 3, SIDE, SIDE)
    of_timm: Any = timm.create_model(OF_TIMM["quickgelu"][0], num_classes=0, **SMALL).eval()
    of_timm.load_state_dict(checkpoint_filter_fn({**content}, of_timm))
    with torch.no_grad():
        expected = of_timm(images)
        same, wrong = (
            load_source(converted(content, name, Choice(), tmp_path), name, SIDE)(images)
            for name in ("quickgelu", "gelu")
        )
    torch.testing.assert_close(same, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(wrong, expected, atol=1e-3)


def test_input_channels_are_chosen(tmp_path):
    original = model_of("plain", in_chans=14)
    choice = Choice(in_channels=(3, 2, 1))
    loaded = load_source(
        converted({"teacher": original.state_dict()}, "plain", choice, tmp_path), "plain", SIDE
    )
    expected = original.patch_embed.proj.weight[:, [3, 2, 1]] * (14 / 3)
    assert torch.equal(loaded.patch_embed.proj.weight, expected)
    with pytest.raises(GtaError, match=r"in_channels \[14\]: the file has channels 0 to 13"):
        converted(original.state_dict(), "plain", Choice(in_channels=(14,)), tmp_path)


# Head counts


def moco(weights: dict[str, Tensor]) -> dict[str, Any]:
    return {"state_dict": under("module.base_encoder.", weights)}


@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (moco, "the layout of MoCo v3 (base_encoder)"),
        (lambda w: {"state_dict": under("teacher.net.", w)}, "the layout of SDSSL"),
        (lambda w: {"model": w, "args": argparse.Namespace(num_heads=12)}, "args.num_heads"),
        (lambda w: {"model": w, "config": {"encoder": {"heads": 12}}}, "config.encoder.heads"),
    ],
)
def test_another_number_of_heads_is_refused(wrap, where, tmp_path):
    with pytest.raises(GtaError) as raised:
        converted(wrap(model_of("plain").state_dict()), "plain", Choice(), tmp_path)
    said = str(raised.value)
    assert f"has 12 attention heads by {where}" in said
    assert f"and plain has {HEADS}" in said
    assert f"`heads: {HEADS}`" in said
    assert not (tmp_path / "out.safetensors").exists()


def test_a_model_of_12_heads_is_equal_under_12_alone(tmp_path, monkeypatch):
    original = model_of("plain", num_heads=12)
    twelve = ArchitectureInfo(None, MappingProxyType(SMALL | {"num_heads": 12}))
    monkeypatch.setitem(catalog.ARCHITECTURES, "twelve", twelve)
    path = converted(moco(original.state_dict()), "twelve", Choice(), tmp_path)
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = original(images)
        same, wrong = (load_source(path, name, SIDE)(images) for name in ("twelve", "plain"))
    torch.testing.assert_close(same, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(wrong, expected, atol=1e-2)


def test_the_catalog_has_mocos_vit():
    block: Any = create("vit_small_moco_patch16_224", SIDE, 0).blocks[0]
    assert block.attn.num_heads == 12


@pytest.mark.parametrize("name", SOURCES)
def test_the_catalogs_sources_have_architectures_that_exist(name):
    info = SOURCES[name]
    assert catalog.find_architecture(info.architecture) is not None
    assert info.shipped or info.licence


def test_any_vit_of_timm_is_known_by_its_name():
    names = catalog.timm_names()
    assert {
        "vit_tiny_patch16_224",
        "vit_base_patch16_siglip_224",
        "deit3_small_patch16_224",
    } <= names
    assert create("vit_tiny_patch16_224", 32, 3).embed_dim == 192
    with pytest.raises(GtaError, match="no architecture 'resnet50'"):
        create("resnet50", SIDE, 0)


# Settings beside the weights


def fake_module(monkeypatch: pytest.MonkeyPatch, module: str, name: str, base: type) -> type:
    """A class of a package that is not installed here."""
    for end in range(1, len(parts := module.split(".")) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(parts[end - 1]))
    made = type(name, (base,), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def test_settings_are_read_as_data(tmp_path, monkeypatch):
    weights = model_of("plain").state_dict()
    yacs = fake_module(monkeypatch, "yacs.config", "CfgNode", dict)
    omega = fake_module(monkeypatch, "omegaconf.dictconfig", "DictConfig", object)
    node = fake_module(monkeypatch, "omegaconf.nodes", "AnyNode", object)
    config, heads = omega(), node()
    heads.__dict__["_val"] = HEADS
    config.__dict__["_content"] = {"num_heads": heads}
    counts: defaultdict[str, Any] = defaultdict(list, seen=[1])
    content = {
        "model": weights,
        "config": yacs({"MODEL": yacs({"NAME": "mfm"})}),
        "cfg": config,
        "best": np.float64(0.5),
        "out": Path("runs"),
        "counts": counts,
    }
    converted(content, "plain", Choice(), tmp_path)
    heads.__dict__["_val"] = 3
    with pytest.raises(GtaError, match=r"has 3 attention heads by cfg.num_heads"):
        converted(content, "plain", Choice(), tmp_path)
