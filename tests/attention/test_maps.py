"""Maps of [cls] attention against the full attention matrix, and red over images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gta.attention.maps import (
    OPACITY,
    cls_maps,
    draw_files,
    overlay,
    overlay_images,
    read_image,
    upsample,
)
from gta.errors import GtaError
from gta.models.vit import create
from gta.study import Study


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return create("vit_mini_patch8", 48, 0).eval()


def full_attention(model: Any, images: Tensor, block: int) -> Tensor:
    """Softmax of q k^T / sqrt(d) of all tokens, (B, heads, T, T)."""
    seen: list[Tensor] = []
    attention = model.blocks[block].attn
    hook = attention.qkv.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        model(images)
    hook.remove()
    query, key, _ = seen[0].unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)


@pytest.mark.parametrize("block", [-1, 1])
def test_maps_are_the_cls_row_joined_over_heads(model: Any, block: int) -> None:
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    row = full_attention(model, images, block)[:, :, 0, 1:]
    for heads, joined in (("max", row.amax(1)), ("mean", row.mean(1))):
        maps = cls_maps(model, images, block, heads)  # type: ignore[arg-type]
        assert maps.shape == (2, 6, 6)
        torch.testing.assert_close(maps, joined.reshape(2, 6, 6))


def test_upsampling_keeps_place_and_range() -> None:
    maps = torch.zeros(1, 2, 3)
    maps[0, 1, 2] = 1.0
    larger = upsample(maps, 20, 30)
    assert larger.shape == (1, 20, 30)
    assert np.unravel_index(larger[0].argmax(), (20, 30)) == (15, 25)
    assert (larger.min(), larger.max()) == (0.0, 1.0)


def test_overlay_is_red_where_attention_is() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    laid = overlay(image, np.array([[0.0, 0.2], [0.1, 0.0]], np.float32))
    assert laid.dtype == np.uint8
    assert laid[0, 0].tolist() == [100, 100, 100]
    strongest = [round((1 - OPACITY) * 100 + OPACITY * 255), *[round((1 - OPACITY) * 100)] * 2]
    assert laid[0, 1].tolist() == strongest
    half = OPACITY / 2
    assert laid[1, 0].tolist() == pytest.approx(
        [(1 - half) * 100 + half * 255, *[(1 - half) * 100] * 2], abs=0.51
    )
    assert (overlay(image, np.zeros((2, 2), np.float32)) == image).all()


def test_any_image_keeps_its_size(model: Any, tiny_study: Study) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((60, 90, 3), (48, 48, 3))]
    recipe = tiny_study.config.recipe
    wide, square = overlay_images(model, recipe, images)
    assert wide.shape == (60, 90, 3)
    mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
    seen = ((torch.from_numpy(images[1]) / 255 - mean) / std).permute(2, 0, 1)[None]
    maps = upsample(cls_maps(model, seen), 48, 48)
    assert (square == overlay(images[1], maps[0])).all()


def test_files_are_drawn_beside_each_other(model: Any, tiny_study: Study, workdir: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [Path("a.png"), Path("b.bmp")]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    recipe = tiny_study.config.recipe
    written = draw_files(model, recipe, paths, Path("maps"), block=0, heads="mean")
    assert written == [Path("maps/a.png"), Path("maps/b.png")]
    for path, drawn in zip(paths, written, strict=True):
        (expected,) = overlay_images(model, recipe, [read_image(path)], 0, "mean")
        assert (read_image(drawn) == expected).all()


def test_files_that_cannot_be_drawn(model: Any, tiny_study: Study, workdir: Path) -> None:
    recipe = tiny_study.config.recipe
    Path("text.png").write_text("no image", encoding="utf-8")
    with pytest.raises(GtaError, match=r"text.png: not an image that can be read"):
        draw_files(model, recipe, [Path("text.png")], Path("maps"))
    with pytest.raises(GtaError, match=r"missing.png: cannot be read"):
        draw_files(model, recipe, [Path("missing.png")], Path("maps"))
    with pytest.raises(GtaError, match="two images are named 'a'"):
        draw_files(model, recipe, [Path("a.png"), Path("b/a.jpg")], Path("maps"))
    assert not Path("maps").exists()


def test_images_are_read_in_rgb_and_upright(workdir: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    Image.fromarray(grey).save("grey.png")
    assert (read_image(Path("grey.png")) == grey[..., None].repeat(3, axis=2)).all()
    turned = Image.fromarray(grey)
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    turned.save("turned.png", exif=exif)
    assert (read_image(Path("turned.png"))[..., 0] == grey[::-1, ::-1]).all()
