"""Sources: loaded strictly, checked by digest, resampled as their authors do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from gta.catalog import SOURCES
from gta.errors import GtaError
from gta.models import sources
from gta.models.sources import (
    check_shipped,
    load_backbone,
    load_source,
    prepare_source,
    read_metadata,
    read_weights,
    weights_digest,
)
from gta.models.vit import create
from tests.samples import random_weights

ARCHITECTURE, SIDE = "vit_mini_patch8", 24


@pytest.fixture(scope="module")
def original() -> dict[str, Tensor]:
    return random_weights(ARCHITECTURE, SIDE)


@pytest.fixture
def weights(original: dict[str, Tensor]) -> dict[str, Tensor]:
    """A source's weights, to be changed at will."""
    return {name: tensor.clone() for name, tensor in original.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a source is to lie."""
    return tmp_path / "weights" / "source.safetensors"


def save(weights: dict[str, Tensor], path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata=metadata)
    return path


def test_a_source_is_its_file_frozen_and_without_head(weights, path):
    model: Any = load_source(save(weights, path), ARCHITECTURE, SIDE)
    assert {name for name, _ in model.named_parameters()} == weights.keys()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert not parameter.requires_grad
    assert not any(module.training for module in model.modules())


def test_half_precision_is_loaded_as_float32(weights, path):
    halves = {name: tensor.half() for name, tensor in weights.items()}
    model: Any = load_source(save(halves, path), ARCHITECTURE, SIDE)
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, halves[name].float())


def test_the_heads_of_both_are_left_out(weights):
    weights |= {"head.weight": torch.ones(7, 3), "head.bias": torch.ones(7)}
    model: Any = create(ARCHITECTURE, SIDE, num_classes=5)
    head = model.head.weight.clone()
    load_backbone(model, weights, Path("w"))
    assert torch.equal(model.head.weight, head)
    assert torch.equal(model.cls_token, weights["cls_token"])


def without(name: str):
    return lambda weights: weights.pop(name)


def reshaped(name: str, *shape: int):
    return lambda weights: weights.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("norm.weight"), "lacks 1 of the model's keys: norm.weight"),
        (without("pos_embed"), "lacks 1 of the model's keys: pos_embed"),
        (reshaped("mask_token", 1, 8), "has 1 keys the model does not use: mask_token"),
        (reshaped("cls_token", 1, 1, 7), "cls_token has shape (1, 1, 7), the model's is (1, 1, "),
        (reshaped("pos_embed", 5, 7), "pos_embed has shape (5, 7), the model's is "),
        (reshaped("pos_embed", 1, 5, 7), "pos_embed has shape (1, 5, 7), the model's is "),
        (reshaped("pos_embed", 2, 5, 7), "pos_embed has shape (2, 5, 7), the model's is "),
    ],
)
def test_loading_is_strict(weights, path, change, message):
    change(weights)
    save(weights, path)
    with pytest.raises(GtaError) as raised:
        load_source(path, ARCHITECTURE, SIDE)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_positions_that_are_no_square_are_an_error(weights, path):
    weights["pos_embed"] = weights["pos_embed"][:, :-1].contiguous()
    with pytest.raises(GtaError, match="pos_embed has shape"):
        load_source(save(weights, path), ARCHITECTURE, SIDE)


def test_many_missing_keys_are_not_all_listed(path):
    with pytest.raises(GtaError) as raised:
        load_source(save({"norm.bias": torch.zeros(1)}, path), ARCHITECTURE, SIDE)
    assert str(raised.value).count(",") == 4
    assert str(raised.value).endswith(" …")


@pytest.mark.parametrize("side", [16, 40])
def test_positions_are_resampled_bicubic_without_antialiasing(weights, path, side):
    model: Any = load_source(save(weights, path), ARCHITECTURE, side)
    own, given = model.pos_embed, weights["pos_embed"]
    old, new, width = SIDE // 8, side // 8, given.shape[-1]
    assert torch.equal(own[:, 0], given[:, 0])
    grid = given[:, 1:].reshape(1, old, old, width).permute(0, 3, 1, 2)
    resampled = F.interpolate(grid, (new, new), mode="bicubic", antialias=False)
    torch.testing.assert_close(own[:, 1:], resampled.permute(0, 2, 3, 1).reshape(1, -1, width))
    smoothed = F.interpolate(grid, (new, new), mode="bicubic", antialias=True)
    if side < SIDE:
        assert not torch.allclose(resampled, smoothed, atol=1e-3)


def test_positions_of_the_same_size_stay_as_they_are(weights, path):
    model: Any = load_source(save(weights, path), ARCHITECTURE, SIDE)
    assert torch.equal(model.pos_embed, weights["pos_embed"])


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def other_content(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 a pickled checkpoint" * 100)


@pytest.mark.parametrize("harm", [missing, empty, cut, other_content])
def test_a_file_that_is_not_whole_is_an_error(weights, path, harm):
    harm(save(weights, path))
    for read in (read_weights, read_metadata, check_shipped):
        with pytest.raises(GtaError) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: cannot be read as safetensors: ")
        assert "\n" not in str(raised.value)


def test_the_digest_changes_with_any_byte_name_type_and_shape():
    weights = {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.zeros(()),
        "c": torch.ones(2).half(),
    }
    digest = weights_digest(weights)
    assert weights_digest(dict(sorted(weights.items()))) == digest
    others: list[dict[str, Any]] = [
        weights | {"a": weights["a"].double()},
        weights | {"b": weights["b"].reshape(3, 2)},
        {("d" if name == "c" else name): tensor for name, tensor in weights.items()},
        {"a": weights["a"], "b": weights["b"]},
    ]
    for name, tensor in weights.items():
        for byte in range(tensor.nbytes):
            changed = tensor.clone()
            changed.view(-1).view(torch.uint8)[byte] ^= 1
            others.append(weights | {name: changed})
    digests = {weights_digest(other) for other in others}
    assert len(digests) == len(others) == 4 + 24 + 4 + 4
    assert digest not in digests


def test_the_digest_is_that_of_the_values_whatever_their_layout():
    tensor = torch.arange(6.0).reshape(2, 3)
    turned = tensor.t().contiguous().t()
    assert weights_digest({"a": turned}) == weights_digest({"a": tensor})


@pytest.fixture
def shipped(weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped file, for the source ``tiny_ibot``."""
    folder = tmp_path / "package" / "weights"
    info = dataclasses.replace(SOURCES["tiny_ibot"], shipped="fake.safetensors")
    monkeypatch.setattr(sources, "SOURCES", MappingProxyType(dict(SOURCES) | {"tiny_ibot": info}))
    monkeypatch.setattr(sources, "files", lambda package: tmp_path / "package")
    digest = weights_digest(weights)
    return save(weights, folder / "fake.safetensors", weights_digest=digest, recipe="made up")


def test_a_shipped_source_is_copied_as_it_is(shipped, path):
    prepare_source("tiny_ibot", path)
    assert path.read_bytes() == shipped.read_bytes()
    assert check_shipped(path)["recipe"] == "made up"


def test_a_shipped_source_that_was_altered_is_an_error(shipped, path):
    weights, metadata = load_file(shipped), read_metadata(shipped)
    weights["norm.bias"][0] += 1
    save(weights, shipped, **metadata)
    with pytest.raises(GtaError, match="its weights are not those its metadata names"):
        prepare_source("tiny_ibot", path)
    assert not path.exists()


def test_a_shipped_source_without_a_digest_is_an_error(weights, shipped, path):
    save(weights, shipped)
    with pytest.raises(GtaError, match="its weights are not those its metadata names"):
        prepare_source("tiny_ibot", path)


def test_a_source_that_is_not_shipped_says_where_it_is_to_be_had(path):
    with pytest.raises(GtaError) as raised:
        prepare_source("dino", path)
    assert str(path) in str(raised.value)
    assert SOURCES["dino"].urls[0] in str(raised.value)


def test_a_source_that_nobody_knows_is_an_error(path):
    with pytest.raises(GtaError, match="there is no source 'dinosaur'; known: tiny_ibot, "):
        prepare_source("dinosaur", path)
