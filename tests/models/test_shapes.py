"""The shape of a ViT as the config's checks know it is that of the model that timm builds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gta.catalog import ARCHITECTURES
from gta.catalog.shapes import Shape, shape_of
from gta.models.families import blocks_of, has_cls, is_windowed, width_of
from gta.models.vit import create, patch_of, side_of

OF_TIMM = (
    *("vit_tiny_patch16_224", "vit_small_patch32_224", "deit_tiny_patch16_224", "test_vit"),
    *("vit_small_patch16_dinov3", "eva02_tiny_patch14_224"),
)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *OF_TIMM])
def test_shapes_are_timms(name: str) -> None:
    shape = shape_of(name)
    assert shape is not None
    if shape.embed_dim > 400:  # seconds to build; the arguments say the same
        assert shape == Shape()
        return
    side = side_of(name) if shape.windows else 2 * shape.patch_size
    model = create(name, side, num_classes=0)
    blocks = blocks_of(model)
    found = (patch_of(model), width_of(model), len(blocks), blocks[-1].attn.num_heads)
    assert Shape(*found, has_cls(model), is_windowed(model)) == shape


def test_what_is_unknown_has_no_shape_and_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from gta.catalog.shapes import shape_of\n"
        "assert shape_of('vit_huge') is None and shape_of('vit_base_patch16_224').depth == 12\n"
        "assert not {'torch', 'timm'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
