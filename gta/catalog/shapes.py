"""The shapes of vision transformers, told without building or importing them."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gta.catalog.architectures import TIMM_MODULES, find_architecture


@dataclass(frozen=True)
class Shape:
    """The shape of a vision transformer; the defaults are timm's.

    Attributes:
        patch_size: side of its patches, pixels; in models of stages, of the last stage's places.
        embed_dim: width of its features.
        depth: its blocks.
        num_heads: attention heads of its last block.
        class_token: whether it has a [cls] token.
        windows: whether its attention stays within windows, and its blocks form stages.
    """

    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    class_token: bool = True
    windows: bool = False


PLAIN = ("patch_size", "embed_dim", "depth", "num_heads", "class_token")
# Models of stages by the beginning of their names, with timm's defaults.
STAGES: dict[str, dict[str, Any]] = {
    "swin_": {"patch_size": 4, "embed_dim": 96},
    "gcvit_": {"patch_size": 4, "embed_dim": 64},
}


@cache
def shape_of(architecture: str) -> Shape | None:
    """The shape of an architecture of the catalog or of timm's; None if it cannot be told."""
    info = find_architecture(architecture)
    if info is None:
        return None
    arguments = {} if info.timm_name is None else _arguments(info.timm_name)
    if arguments is None:
        return None
    arguments |= info.kwargs
    for beginning, defaults in STAGES.items():
        if (info.timm_name or "").startswith(beginning):
            return _of_stages(defaults | arguments)
    return Shape(**{key: value for key, value in arguments.items() if key in PLAIN})


def _of_stages(arguments: dict[str, Any]) -> Shape:
    """The shape of a Swin or GC ViT: each stage halves the grid and doubles the width."""
    growth: int = 2 ** (len(arguments["depths"]) - 1)
    return Shape(
        patch_size=arguments["patch_size"] * growth,
        embed_dim=arguments["embed_dim"] * growth,
        depth=sum(arguments["depths"]),
        num_heads=arguments["num_heads"][-1],
        class_token=False,
        windows=True,
    )


def _arguments(name: str) -> dict[str, Any] | None:
    """The constant arguments that timm's function of this name gives its model."""
    function = re.search(
        rf"^def {re.escape(name)}\(.*?(?=\n\n\n)", _source(), re.DOTALL | re.MULTILINE
    )
    if function is None:
        return None
    for node in ast.walk(ast.parse(function[0])):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if ast.unparse(node.targets[0]) in ("model_args", "model_kwargs"):
            found = {}
            for keyword in node.value.keywords:
                try:
                    found[str(keyword.arg)] = ast.literal_eval(keyword.value)
                except ValueError:
                    continue  # a class or an expression
            return found
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
