"""The shape of a ViT as the config's checks know it is that of the model that timm builds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gta.catalog import ARCHITECTURES
from gta.catalog.shapes import Shape, shape_of
from gta.models.vit import create

OF_TIMM = ("vit_tiny_patch16_224", "vit_small_patch32_224", "deit_tiny_patch16_224", "test_vit")


@pytest.mark.parametrize("name", [*ARCHITECTURES, *OF_TIMM])
def test_shapes_are_timms(name: str) -> None:
    shape = shape_of(name)
    assert shape is not None
    if shape.embed_dim > 400:  # seconds to build; the arguments say the same
        assert shape == Shape()
        return
    model: Any = create(name, 2 * shape.patch_size, num_classes=0)
    heads = model.blocks[0].attn.num_heads
    found = (model.patch_embed.patch_size[0], model.embed_dim, len(model.blocks), heads)
    assert Shape(*found) == shape


def test_what_is_unknown_has_no_shape_and_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from gta.catalog.shapes import shape_of\n"
        "assert shape_of('vit_huge') is None and shape_of('vit_base_patch16_224').depth == 12\n"
        "assert not {'torch', 'timm'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
