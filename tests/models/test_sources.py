"""Sources: had, checked, converted and loaded strictly; resampled as their authors do."""

from __future__ import annotations

import dataclasses
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from gta.catalog import SOURCES, Archive, SourceInfo
from gta.errors import GtaError
from gta.files import file_digest
from gta.models import originals
from gta.models.originals import hub_archives, prepare_source
from gta.models.prepared import check_weights, read_metadata, trained_side
from gta.models.sources import load_backbone, load_source, read_weights, weights_digest
from gta.models.vit import create
from gta.study import Study
from tests.support import loopback
from tests.support.loopback import PROXY_VARIABLES, Host, give
from tests.support.samples import random_weights

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


def test_positions_of_37_by_37_come_to_8_by_8_as_bicubic_convolution_says(weights, path):
    """DINOv2's own size at 112 pixels, against Keys' cubic (a = -3/4) written out."""
    old, new, width = 37, 8, weights["pos_embed"].shape[-1]
    weights["pos_embed"] = torch.randn(
        1, 1 + old * old, width, generator=torch.Generator().manual_seed(0)
    )
    model: Any = load_source(save(weights, path), ARCHITECTURE, new * 8)

    def cubic(distance: float) -> float:
        x, a = abs(distance), -0.75
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    taps = np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) * old / new - 0.5
        for column in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            taps[row, np.clip(column, 0, old - 1)] += cubic(column - centre)
    grid = weights["pos_embed"][0, 1:].reshape(old, old, width).double().numpy()
    expected = np.einsum("ai,bj,ijd->abd", taps, taps, grid).reshape(new * new, width)
    np.testing.assert_allclose(model.pos_embed[0, 1:].numpy(), expected, atol=1e-5)
    assert torch.equal(model.pos_embed[:, 0], weights["pos_embed"][:, 0])


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
    for read in (read_weights, read_metadata, check_weights):
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


# Preparing


@pytest.fixture
def study(tiny_study: Study) -> Study:
    """A study in an empty folder."""
    return tiny_study


@pytest.fixture
def known(study: Study, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SourceInfo]:
    """Give the catalog's sources other facts; the architecture becomes the small one."""

    def change(name: str, **facts: Any) -> SourceInfo:
        info = dataclasses.replace(SOURCES[name], **{"architecture": ARCHITECTURE, **facts})
        monkeypatch.setattr(study, "source_info", {name: info}.__getitem__)
        return info

    return change


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails the test."""

    def forbidden(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


@pytest.fixture
def shipped(
    weights: dict[str, Tensor],
    tmp_path: Path,
    known: Callable[..., SourceInfo],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A shipped file, for the source ``tiny_ibot``."""
    known("tiny_ibot", shipped="fake.safetensors")
    monkeypatch.setattr(originals, "files", lambda package: tmp_path / "package")
    digest = weights_digest(weights)
    path = tmp_path / "package" / "weights" / "fake.safetensors"
    return save(weights, path, weights_digest=digest, recipe="made up")


def test_a_shipped_source_is_copied_as_it_is(study, shipped, no_network):
    path = prepare_source(study, "tiny_ibot")
    assert path == study.weights("tiny_ibot")
    assert path.read_bytes() == shipped.read_bytes()
    assert check_weights(path)["recipe"] == "made up"


def test_a_shipped_source_that_was_altered_is_an_error(study, shipped):
    weights, metadata = load_file(shipped), read_metadata(shipped)
    weights["norm.bias"][0] += 1
    save(weights, shipped, **metadata)
    with pytest.raises(GtaError, match="its weights are not those its metadata names"):
        prepare_source(study, "tiny_ibot")
    assert not study.weights("tiny_ibot").exists()


def test_a_shipped_source_without_a_digest_is_an_error(study, weights, shipped):
    save(weights, shipped)
    with pytest.raises(GtaError, match="its weights are not those its metadata names"):
        prepare_source(study, "tiny_ibot")


def test_a_source_that_nobody_knows_is_an_error(study):
    with pytest.raises(GtaError, match="there is no source 'dinosaur'; known: tiny_ibot, "):
        prepare_source(study, "dinosaur")


def place(study: Study, name: str, content: Any) -> Path:
    """Put a checkpoint into the weights folder."""
    path = study.weights_root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


CLASSIFIER = {"head.weight": torch.ones(7, 64), "head.bias": torch.ones(7)}
# What the official files hold beside the backbone, and where in them that lies.
OFFICIAL: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Any]], str]] = {
    "ibot": (lambda weights: {"state_dict": weights}, ""),
    "dino": (lambda weights: weights, ""),
    "supervised": (lambda weights: {"model": weights | CLASSIFIER}, "head.bias, head.weight"),
    "dinov2": (lambda weights: weights | {"mask_token": torch.ones(1, 64)}, "mask_token"),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_file_placed_by_hand_is_converted(name, study, known, weights, no_network):
    wrap, dropped = OFFICIAL[name]
    archive = SOURCES[name].archive
    assert archive is not None
    placed = place(study, archive.file, wrap(weights))
    known(name, archive=dataclasses.replace(archive, sha256=file_digest(placed)[:8]))
    path = prepare_source(study, name)
    assert path == study.weights(name)
    model: Any = load_source(path, ARCHITECTURE, SIDE)
    assert {key for key, _ in model.named_parameters()} == weights.keys()
    for key, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[key])
    metadata = check_weights(path)
    assert metadata["origin"] == archive.file
    assert metadata["origin_sha256"] == file_digest(placed)
    assert metadata["dropped"] == dropped
    assert metadata["architecture"] == ARCHITECTURE
    assert trained_side(path) == SIDE


def test_the_same_file_gives_the_same_bytes(study, known, weights):
    """The digest of the prepared file decides whether results are of today's source."""
    known("dino")
    place(study, "dino_deitsmall16_pretrain.pth", weights)
    contents = {prepare_source(study, "dino").read_bytes() for _ in range(4)}
    assert len(contents) == 1
    assert weights_digest(load_file(study.weights("dino"))) == weights_digest(weights)


def test_half_precision_is_prepared_as_float32(study, known, weights):
    known("dinov2")
    halves = {name: tensor.half() for name, tensor in weights.items()}
    place(study, "dinov2_vits14.fp16.safetensors", halves)  # another name people have it under
    prepared = load_file(prepare_source(study, "dinov2"))
    assert {tensor.dtype for tensor in prepared.values()} == {torch.float32}
    assert all(torch.equal(prepared[name], halves[name].float()) for name in weights)


def test_dinov2_with_its_layer_scale_serves_smaller_images(study, no_network):
    """The true architecture: 37 x 37 positions of 14 pixels, used at 112 pixels."""
    own = random_weights("vit_small_patch14_dinov2", 518)
    place(study, "dinov2_vits14_pretrain.pth", own | {"mask_token": torch.zeros(1, 384)})
    path = prepare_source(study, "dinov2")
    model: Any = load_source(path, "vit_small_patch14_dinov2", 112)
    assert torch.equal(model.blocks[11].ls2.gamma, own["blocks.11.ls2.gamma"])
    assert model.pos_embed.shape == (1, 1 + 8 * 8, 384)
    assert trained_side(path) == 518


def removed(weights: dict[str, Tensor]) -> None:
    del weights["blocks.2.norm1.bias"]


def added(weights: dict[str, Tensor]) -> None:
    weights["register_tokens"] = torch.ones(1, 4, 64)


def another_shape(weights: dict[str, Tensor]) -> None:
    weights["patch_embed.proj.weight"] = torch.ones(64, 3, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (removed, "lacks 1 of the model's keys: blocks.2.norm1.bias"),
        (added, "has 1 keys the model does not use: reg_token"),
        (another_shape, "patch_embed.proj.weight has shape (64, 3, 16, 16), the model's is (64, "),
    ],
)
def test_a_file_that_does_not_fit_is_an_error_and_leaves_nothing(
    change, message, study, known, weights
):
    known("ibot")
    change(weights)
    placed = place(study, "checkpoint_teacher.pth", {"state_dict": weights})
    with pytest.raises(GtaError) as raised:
        prepare_source(study, "ibot")
    assert str(raised.value).startswith(f"{placed}: {message}")
    assert not study.weights("ibot").exists()


def test_a_file_that_is_not_the_published_one_is_an_error(study, known, weights, no_network):
    info = known("supervised")
    place(study, info.archive.file, {"model": weights})
    with pytest.raises(GtaError, match=f"{info.archive.file}: has sha256 .* in place of cd65a155"):
        prepare_source(study, "supervised")
    assert not study.weights("supervised").exists()


# Fetching


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A server on the loopback interface, asked without a proxy."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with loopback.host() as server:
        yield server


def pickled(content: Any) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_a_source_is_fetched_once(study, known, weights, host):
    body = pickled({"state_dict": weights})
    address = host.serve("/teacher.pth", give(body))
    known("ibot", archive=Archive("ibot.pth", (host.url("/gone.pth"), address)))
    done: list[int] = []
    path = prepare_source(study, "ibot", lambda count, _: done.append(count))
    assert weights_digest(load_file(path)) == weights_digest(weights)
    assert done[-1] == len(body)
    content = path.read_bytes()
    assert [asked for asked, _ in host.asked] == ["/gone.pth", "/teacher.pth"]
    assert prepare_source(study, "ibot").read_bytes() == content
    assert len(host.asked) == 2


def test_the_hub_has_what_the_official_address_has_not(study, known, weights, host, monkeypatch):
    address = host.serve("/model.safetensors", give(safetensors.torch.save(weights)))
    on_hub = Archive("timm--small.dino.safetensors", (address,))
    monkeypatch.setattr(originals, "hub_archives", lambda name: [on_hub])
    known("dino", archive=Archive("dino.pth", (host.url("/gone.pth"),)), hub="small.dino")
    path = prepare_source(study, "dino")
    assert weights_digest(load_file(path)) == weights_digest(weights)
    assert read_metadata(path)["origin"] == on_hub.file


@pytest.mark.parametrize(
    ("name", "file", "address"),
    [
        ("vit_s.dino", "timm--vit_s.dino.safetensors", "/timm/vit_s.dino/resolve/main/model.saf"),
        ("somebody/vit", "somebody--vit.safetensors", "/somebody/vit/resolve/main/model.safetens"),
        ("hf-hub:somebody/vit", "somebody--vit.safetensors", "/somebody/vit/resolve/main/model."),
        ("timm/vit@v2", "timm--vit@v2.safetensors", "/timm/vit/resolve/v2/model.safetensors"),
        ("a/b/c.pth", "a--b--c.pth", "/a/b/resolve/main/c.pth"),
        ("a/b/c/d.pth", "a--b--c--d.pth", "/a/b/resolve/main/c/d.pth"),
    ],
)
def test_names_on_the_hub_are_addresses(name, file, address):
    first, *others = hub_archives(name)
    assert first.file == file
    assert address in first.urls[0]
    more = [] if name.endswith(".pth") else [file.replace(".safetensors", ".bin")]
    assert [one.file for one in others] == more


def test_a_token_is_sent_to_the_hub_alone_and_never_shown(
    tiny_config, workdir, weights, host, monkeypatch
):
    from huggingface_hub import constants

    seen: list[str | None] = []

    def private(handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        if seen[-1] == "Bearer hf_secret":
            give(safetensors.torch.save(weights))(handler)
        else:
            handler.send_error(401)

    address = host.serve("/mine.safetensors?download=true", private)
    study = own_study(tiny_config, url=address)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(GtaError, match="HTTP 401 Unauthorized") as raised:
        prepare_source(study, "mine")
    assert "hf_secret" not in str(raised.value)
    assert seen == [None]
    monkeypatch.setattr(constants, "ENDPOINT", address.partition("/mine")[0])
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(GtaError, match="set HF_TOKEN") as raised:
        prepare_source(study, "mine")
    assert "hf_wrong" not in str(raised.value)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    prepare_source(study, "mine")
    assert seen[-1] == "Bearer hf_secret"
    assert (study.weights_root / "mine.safetensors").exists()


def test_digests_in_capitals_are_digests(tiny_config, workdir, weights):
    study = own_study(tiny_config, file="mine.pth", sha256="A" * 8)
    placed = place(study, "mine.pth", weights)
    with pytest.raises(GtaError, match="in place of aaaaaaaa"):
        prepare_source(study, "mine")
    digest = file_digest(placed).upper()
    prepare_source(own_study(tiny_config, file="mine.pth", sha256=digest), "mine")


def test_a_source_that_cannot_be_had_says_what_to_place_where(study, known, host):
    urls = (host.url("/gone.pth"),)
    known("dino", archive=Archive("dino.pth", urls, other_names=("old.pth",)), hub=None)
    with pytest.raises(GtaError) as raised:
        prepare_source(study, "dino")
    said = str(raised.value)
    assert said.startswith("dino: ")
    assert urls[0] in said
    assert f"by hand in {study.weights_root} as dino.pth or old.pth" in said
    assert not study.weights("dino").exists()


# The user's own


def own_study(config: dict[str, Any], **origin: str) -> Study:
    stanza = {"title": "Mine", "architecture": ARCHITECTURE, **origin}
    sources = {**config["sources"], "main": "mine"}
    return Study({**config, "own_sources": {"mine": stanza}, "sources": sources})


def test_a_file_of_the_users_own_is_a_source(tiny_config, workdir, weights, no_network):
    Path("runs").mkdir()
    torch.save({"teacher": {f"backbone.{k}": t for k, t in weights.items()}}, "runs/mine.pth")
    study = own_study(tiny_config, file="runs/mine.pth", sha256=file_digest(Path("runs/mine.pth")))
    prepared = load_file(prepare_source(study, "mine"))
    assert weights_digest(prepared) == weights_digest(weights)
    assert not study.weights_root.exists()
    other = own_study(tiny_config, file="runs/mine.pth", sha256="0" * 64)
    with pytest.raises(GtaError, match=r"runs/mine.pth: has sha256 .* in place of 0000"):
        prepare_source(other, "mine")


def test_a_bare_name_of_the_users_own_lies_in_the_weights_folder(tiny_config, workdir, weights):
    study = own_study(tiny_config, file="mine.safetensors")
    with pytest.raises(GtaError, match=r"place it by hand in data/weights as mine\.safetensors"):
        prepare_source(study, "mine")
    place(study, "mine.safetensors", weights)
    assert weights_digest(load_file(prepare_source(study, "mine"))) == weights_digest(weights)


def test_an_address_of_the_users_own_is_a_source(tiny_config, workdir, weights, host):
    address = host.serve("/mine.safetensors", give(safetensors.torch.save(weights)))
    study = own_study(tiny_config, url=address)
    assert weights_digest(load_file(prepare_source(study, "mine"))) == weights_digest(weights)


def test_a_file_of_ones_own_that_is_replaced_is_prepared_anew(tiny_config, workdir, weights):
    study = own_study(tiny_config, file="mine.pth")
    placed = place(study, "mine.pth", weights)
    prepare_source(study, "mine")
    seen = originals.note_seen(study, "mine")
    assert seen is not None
    assert seen.stat().st_mtime_ns <= study.weights("mine").stat().st_mtime_ns
    before, state = originals.source_digest(study, "mine"), seen.read_text()
    weights["norm.bias"] += 1
    status = placed.stat()
    place(study, "mine.pth", weights)
    os.utime(placed, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(GtaError, match=r"mine.pth: has changed since it was prepared; `gta source"):
        originals.require_current(study, "mine")
    assert originals.source_digest(study, "mine") == "changed"
    originals.note_seen(study, "mine")
    assert seen.read_text() != state, "Snakemake sees it too"
    prepare_source(study, "mine")
    assert originals.source_digest(study, "mine") not in (before, "changed")


def test_sources_of_one_name_in_two_working_folders_have_a_file_each(
    tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("GTA_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("GTA_WEIGHTS", raising=False)
    found = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for file in ("mine.pth", "./mine.pth"):
            found.add(own_study(tiny_config, file=file).weights("mine"))
    assert len(found) == 4


def test_a_path_is_read_in_one_way(tiny_config, workdir, weights, monkeypatch):
    monkeypatch.setenv("HOME", str(workdir / "home"))
    Path("home").mkdir()
    for file in ("~/mine.pth", "./mine.pth", "a{x}.pth"):
        study = own_study(tiny_config, file=file)
        if "/" in file:
            torch.save(weights, Path(file).expanduser())
        else:
            place(study, file, weights)
        assert weights_digest(load_file(prepare_source(study, "mine"))) == weights_digest(weights)


def test_a_page_in_place_of_weights_does_not_refuse_the_weights(tiny_config, workdir, weights):
    study = own_study(tiny_config, file="mine.pth")
    study.weights_root.mkdir(parents=True)
    (study.weights_root / "mine.pth").write_text("<!DOCTYPE html><html>Sign in")
    with pytest.raises(GtaError, match="is a web page"):
        prepare_source(study, "mine")
    place(study, "mine.pth", weights)
    prepare_source(study, "mine")
