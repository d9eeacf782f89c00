"""Patch, width, depth and heads of vision transformers, told without building or importing them."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from gta.catalog.architectures import TIMM_MODULES, find_architecture


@dataclass(frozen=True)
class Shape:
    """The shape of a vision transformer; the defaults are timm's.

    Attributes:
        patch_size: side of its patches, pixels.
        embed_dim: width of its tokens.
        depth: its blocks.
        num_heads: attention heads of a block.
    """

    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12


FIELDS = tuple(field.name for field in fields(Shape))


@cache
def shape_of(architecture: str) -> Shape | None:
    """The shape of an architecture of the catalog or of timm's; None if it cannot be told."""
    info = find_architecture(architecture)
    if info is None:
        return None
    shape = Shape() if info.timm_name is None else _of_timm(info.timm_name)
    given = {key: value for key, value in info.kwargs.items() if key in FIELDS}
    return shape and replace(shape, **given)


def _of_timm(name: str) -> Shape | None:
    """The arguments that timm's function of this name gives its ``VisionTransformer``."""
    function = re.search(
        rf"^def {re.escape(name)}\(.*?(?=\n\n\n)", _source(), re.DOTALL | re.MULTILINE
    )
    if function is None:
        return None
    for node in ast.walk(ast.parse(function[0])):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "model_args":
            if not isinstance(node.value, ast.Call):
                return None
            numbers = {
                keyword.arg: keyword.value.value
                for keyword in node.value.keywords
                if keyword.arg in FIELDS
                and isinstance(keyword.value, ast.Constant)
                and isinstance(keyword.value.value, int)
            }
            return replace(Shape(), **numbers)
    return None


@cache
def _source() -> str:
    """Text of timm's files, read without importing timm, which imports torch."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return ""
    folder = Path(found.origin).parent / "models"
    return "\n\n\n".join(
        (folder / f"{module}.py").read_text(encoding="utf-8") for module in TIMM_MODULES
    )
