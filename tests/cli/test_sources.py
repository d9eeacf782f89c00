"""``gta source``: listing, preparing, checking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gta.study import Study
from tests.support.commands import error_of, gta
from tests.support.samples import random_weights


@pytest.fixture
def config(tiny_config: dict[str, Any], workdir: Path) -> str:
    """A config with a source of the user's own, whose file lies in the weights folder."""
    stanza = {"title": "Mine", "architecture": "vit_mini_patch8", "file": "mine.pth"}
    tiny_config |= {"own_sources": {"mine": stanza}}
    tiny_config["sources"]["main"] = "mine"
    Path("study.yaml").write_text(yaml.safe_dump(tiny_config), encoding="utf-8")
    weights = random_weights("vit_mini_patch8", 24)
    Path("data/weights").mkdir(parents=True)
    content = {"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}
    torch.save(content | {"epoch": 3}, "data/weights/mine.pth")
    return "study.yaml"


def facts(said: str) -> dict[str, str]:
    """The lines of ``gta source check``, by heading."""
    return {line[:16].strip(): line[16:].strip() for line in said.splitlines()}


def test_the_list_has_the_users_own_and_says_what_is_prepared(config):
    def line_of_mine() -> str:
        said = gta("source", "list", "--config", config)
        return next(line for line in said.splitlines() if line.startswith(" mine "))

    assert line_of_mine().split() == ["mine", "vit_mini_patch8", "mine.pth", "main"]
    gta("source", "prepare", "mine", "--config", config)
    assert line_of_mine().split() == ["mine", "vit_mini_patch8", "prepared", "main"]


def test_prepare_prints_where_the_jobs_will_look(config):
    said = gta("source", "prepare", "mine", "--config", config).strip()
    assert Path(said) == Study.load([config]).weights("mine")
    assert Path(said).exists()


def test_check_tells_what_a_source_is_and_draws_its_heads(config):
    Image.fromarray(np.full((40, 60, 3), 200, dtype=np.uint8)).save("photo.png")
    said = gta(
        *("source", "check", "mine", "--image", "photo.png", "--out", "heads.png"),
        *("--config", config),
    )
    found = facts(said)
    assert said.startswith("Mine: the user's own\n")
    assert found["architecture"] == "vit_mini_patch8: 3 blocks of 2 heads, 64 wide"
    assert found["positions"] == "3 x 3 patches of 8 pixels, resampled to 6 x 6"
    assert found["origin"] == "mine.pth ('state_dict', names begin with module.)"
    assert found["its sha256"].endswith("(unverified, none is published)")
    assert found["left out"] == "nothing"
    # qkv and projection, weights and biases; two layers of four times the width; three blocks
    attention = 3 * (64 * 192 + 192 + 64 * 64 + 64)
    ffn = 3 * (2 * 64 * 256 + 256 + 64)
    total = sum(tensor.numel() for tensor in random_weights("vit_mini_patch8", 48).values())
    assert found["parameters"] == f"{total:,}: attention {attention:,}, FFN {ffn:,}"
    drawn = Image.open("heads.png")
    assert drawn.width > 3 * drawn.height  # the image, the heads' maximum, and two heads


def test_check_of_a_shipped_source_in_a_study_of_another_architecture(config, tiny_config):
    recipe = {**tiny_config["recipe"], "architecture": "vit_small_patch16_224", "image_size": 224}
    # no run is named, so nothing asks whether the sources fit the recipe
    content = {**tiny_config, "recipe": recipe, "tables": []}
    Path("other.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    said = gta("source", "check", "tiny_dino", "--config", "other.yaml")
    assert facts(said)["positions"] == "6 x 6 patches of 8 pixels"
    assert facts(said)["origin"] == "shipped"
    assert Path("results/tiny/sources/tiny_dino.png").exists()
    assert "results/tiny/sources/tiny_dino.png: [cls] attention" in said


def test_check_names_prepared_weights_that_were_altered(config):
    path = Path(gta("source", "prepare", "mine", "--config", config).strip())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    said = error_of("source", "check", "mine", "--config", config)
    assert said.startswith(f"{path}: its weights are not those its metadata names")


def test_check_of_a_file_with_a_payload_is_one_line(config):
    torch.save({"state_dict": {}, "hook": Path}, "data/weights/mine.pth")
    said = error_of("source", "check", "mine", "--config", config)
    assert said.startswith("data/weights/mine.pth: refused: to be read it wants to call pathlib.")


def test_an_image_that_cannot_be_read_is_named(config):
    Path("photo.png").write_text("no image")
    said = error_of("source", "check", "mine", "--image", "photo.png", "--config", config)
    assert said.startswith("photo.png: ")
