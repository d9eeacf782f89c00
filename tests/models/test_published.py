"""Checkpoints in every form people publish: what is found in them, and what is refused."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gta.errors import GtaError
from gta.models.checkpoints import read_checkpoint
from gta.models.published import to_timm

ANCHOR = "patch_embed.proj.weight"


def backbone(seed: int = 0) -> dict[str, Tensor]:
    """Names as a ViT has them; whether they are all there is not seen here."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "cls_token": (1, 1, 4),
        "pos_embed": (1, 10, 4),
        ANCHOR: (4, 3, 2, 2),
        "blocks.0.ls1.gamma": (4,),
        "blocks.0.mlp.fc1.weight": (8, 4),
        "norm.bias": (4,),
    }
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


def head(*names: str) -> dict[str, Tensor]:
    return {name: torch.ones(3, 4) for name in names}


OURS, OTHER = backbone(), backbone(seed=1)
TRAINING: dict[str, Any] = {
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    "epoch": 800,
    "args": argparse.Namespace(arch="vit_small", patch_size=16),
}
# As each is published or written by its authors' training code.
FORMS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "dino": (OURS, [], "flat, timm's names"),
    "dinov2": (OURS | head("mask_token"), ["mask_token"], "flat, timm's names"),
    "ibot": ({"state_dict": OURS}, [], "'state_dict', timm's names"),
    "deit": (
        {"model": OURS | head("head.weight", "head.bias")},
        ["head.bias", "head.weight"],
        "'model', timm's names",
    ),
    "dino, whole training": (
        {
            "student": under("module.backbone.", OTHER) | head("module.head.mlp.0.weight"),
            "teacher": under("backbone.", OURS) | head("head.mlp.0.weight", "head.last_layer.v"),
            **TRAINING,
        },
        ["head.last_layer.v", "head.mlp.0.weight"],
        "'teacher', names begin with backbone.",
    ),
    "ibot, whole training": (
        {
            "student": under("module.backbone.", OTHER),
            "teacher": under("module.backbone.", OURS | head("masked_embed"))
            | head("module.head.last_layer2.weight_g"),
            **TRAINING,
        },
        ["module.backbone.masked_embed", "module.head.last_layer2.weight_g"],
        "'teacher', names begin with module.backbone.",
    ),
    "dinov2, whole training": (
        {"teacher": under("backbone.", OURS) | head("dino_head.mlp.0.v", "ibot_head.mlp.0.v")},
        ["dino_head.mlp.0.v", "ibot_head.mlp.0.v"],
        "'teacher', names begin with backbone.",
    ),
    "distributed": ({"model": under("module.", OURS)}, [], "'model', names begin with module."),
    "encoder": (
        {"state_dict": under("encoder.", OURS) | head("fc.weight"), **TRAINING},
        ["fc.weight"],
        "'state_dict', names begin with encoder.",
    ),
}


def zipped(content: dict[str, Any], path: Path) -> None:
    torch.save(content, path)


def legacy(content: dict[str, Any], path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pth"


def error_of(call: Callable[[], Any], path: Path) -> str:
    """What follows the file's name in the one line that a failing call leaves."""
    with pytest.raises(GtaError) as raised:
        call()
    said = str(raised.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("save", [zipped, legacy])
@pytest.mark.parametrize("form", FORMS)
def test_the_backbone_is_found_in_every_form(form, save, path):
    content, dropped, described = FORMS[form]
    save(content, path)
    found = to_timm(read_checkpoint(path), path)
    assert found.weights.keys() == OURS.keys()
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, OURS[name])
    assert list(found.dropped) == dropped
    assert found.form == described


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    save_file(OURS, tmp_path / name)
    found = to_timm(read_checkpoint(tmp_path / name), tmp_path / name)
    assert all(torch.equal(found.weights[key], OURS[key]) for key in OURS)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(kind, path):
    zipped({name: tensor.to(kind) for name, tensor in OURS.items()}, path)
    for name, tensor in to_timm(read_checkpoint(path), path).weights.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, OURS[name].to(kind).float())


# What is refused


class Payload:
    """What an attacker puts into a checkpoint."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("save", [zipped, legacy])
def test_a_payload_is_refused_and_does_not_run(save, path, tmp_path):
    canary = tmp_path / "canary"
    save({"state_dict": OURS, "args": Payload(f"touch {canary}")}, path)
    said = error_of(lambda: read_checkpoint(path), path)
    assert said.startswith(f"refused: to be read it wants to call {os.system.__module__}.system")
    assert said.endswith("torch.save(model.state_dict(), file)")
    assert not canary.exists()


def test_a_bare_pickle_does_not_run_either(path, tmp_path):
    canary = tmp_path / "canary"
    path.write_bytes(pickle.dumps({"model": Payload(f"touch {canary}")}, protocol=2))
    assert error_of(lambda: read_checkpoint(path), path).startswith("refused: ")
    assert not canary.exists()


class Settings:
    """A class of the training's own."""


@pytest.mark.parametrize("save", [zipped, legacy])
def test_a_class_that_is_not_let_in_is_named(save, path):
    save({"model": OURS, "config": Settings()}, path)
    assert f"call {__name__}.Settings" in error_of(lambda: read_checkpoint(path), path)


def test_arguments_are_let_in_for_the_call_only(path):
    zipped({"model": OURS, **TRAINING}, path)
    assert read_checkpoint(path)["args"].patch_size == 16
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def missing(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-70])


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def a_web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>" * 10)


@pytest.mark.parametrize("harm", [missing, a_folder, empty, cut, halved, a_web_page])
@pytest.mark.parametrize("save", [zipped, legacy, save_file])
def test_a_file_that_is_not_whole_is_an_error(save, harm, tmp_path):
    path = tmp_path / ("w.safetensors" if save is save_file else "w.pth")
    save(OURS, path)
    harm(path)
    said = error_of(lambda: read_checkpoint(path), path)
    assert said.startswith(("cannot be read", "damaged, or not written by torch.save: "))
    assert "weights_only" not in said  # torch's advice: to open the file without care


def test_a_file_that_holds_no_names_is_an_error(path):
    torch.save([torch.ones(2)], path)
    said = error_of(lambda: read_checkpoint(path), path)
    assert said == "holds a list in place of tensors by name"


NOWHERE = "has no mapping of tensors at its top or under teacher, state_dict, model; it holds: "
BESIDE = "has 1 tensors beside the backbone backbone that are not known: "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, f"{NOWHERE}nothing"),
        (TRAINING, f"{NOWHERE}optimizer, epoch, args"),
        ({"student": OURS}, f"{NOWHERE}student"),
        ({"teacher": {}, "student": OURS}, f"{NOWHERE}teacher, student"),
        (head("conv1.weight"), f"is not a ViT, it has no {ANCHOR}; it holds: conv1.weight"),
        (head(f"no_{ANCHOR}"), f"is not a ViT, it has no {ANCHOR}; it holds: no_{ANCHOR}"),
        (
            {"model": under("student.", OURS) | under("teacher.", OURS)},
            "holds 2 backbones: student., teacher.; choose one by `key:`",
        ),
        (under("backbone.", OURS) | head("neck.weight"), f"{BESIDE}neck.weight"),
        (under("backbone.", OURS) | head("norm.bias"), f"{BESIDE}norm.bias"),
        (
            OURS | {"norm.bias": torch.tensor([0.0, float("nan")])},
            "norm.bias has values that are not finite",
        ),
    ],
)
def test_a_checkpoint_without_one_whole_backbone_is_an_error(content, message):
    path = Path("w.pth")
    assert error_of(lambda: to_timm(content, path), path).startswith(message)


def test_what_is_not_known_is_kept_for_the_strict_loading_to_refuse():
    """Only parts that are known by name are dropped."""
    found = to_timm(OURS | head("neck.weight", "header.weight"), Path("w.pth"))
    assert found.weights.keys() == OURS.keys() | {"neck.weight", "header.weight"}
    assert found.dropped == ()
