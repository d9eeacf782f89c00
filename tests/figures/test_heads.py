"""The drawing of a source's heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from gta.attention.maps import overlay_images
from gta.errors import GtaError
from gta.figures.heads import draw_heads, write_png
from gta.models.sources import load_backbone
from gta.models.vit import create
from gta.study import Recipe, Study
from tests.support.samples import random_weights


@pytest.fixture
def recipe(tiny_study: Study) -> Recipe:
    return tiny_study.config.recipe


@pytest.fixture
def model(recipe: Recipe, tmp_path: Any) -> Any:
    vit = create(recipe.architecture, recipe.image_size, num_classes=0)
    weights = random_weights(recipe.architecture, recipe.image_size)
    load_backbone(vit, weights, tmp_path)
    return vit.eval()


def test_each_head_has_a_panel_after_their_maximum(model, recipe):
    image = np.random.default_rng(0).integers(0, 256, (30, 70, 3), dtype=np.uint8)
    figure = draw_heads(model, recipe, image, "Mine")
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["Image", "all, max", "head 1", "head 2"]
    assert figure.axes[0].get_ylabel() == "Mine"
    shown = [np.asarray(panel.images[0].get_array()) for panel in figure.axes]
    side = (recipe.image_size, recipe.image_size)
    square = np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))
    assert (shown[0] == square).all()  # resized, not cropped
    assert not (shown[2] == shown[3]).all()


def test_the_maximum_is_that_of_the_maps_drawn_elsewhere(model, recipe):
    """White stays white under the pale maps, so the red can be compared."""
    image = np.full((48, 48, 3), 255, dtype=np.uint8)
    figure = draw_heads(model, recipe, image)
    (laid,) = overlay_images(model, recipe, [image], heads="max")
    assert (np.asarray(figure.axes[1].images[0].get_array()) == laid).all()


def test_a_model_whose_attention_is_not_read_is_an_error(recipe):
    from timm.models.vision_transformer import VisionTransformer

    bare = VisionTransformer(
        img_size=48, patch_size=8, embed_dim=64, depth=1, num_heads=2,
        class_token=False, global_pool="map", num_classes=0,
    )  # fmt: skip
    with pytest.raises(GtaError, match="pools by attention"):
        draw_heads(bare.eval(), recipe, np.zeros((48, 48, 3), np.uint8))


def test_a_png_is_written_whole(model, recipe, tmp_path):
    write_png(draw_heads(model, recipe, np.zeros((9, 9, 3), np.uint8)), tmp_path / "a" / "b.png")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]
    assert Image.open(tmp_path / "a" / "b.png").format == "PNG"
