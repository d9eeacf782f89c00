"""Figures of a study: gathering and drawing are apart, so that drawings are tested without models.

Snakemake imports this package for its kinds, so matplotlib is imported when one of the names
below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gta.figures.files import Drawing, draw, make, write
    from gta.figures.kinds import FigureKind
    from gta.figures.lambda_curves import draw_over_lambda

__all__ = ["Drawing", "FigureKind", "draw", "draw_over_lambda", "make", "write"]

_HOME_OF = {
    "Drawing": "files",
    "FigureKind": "kinds",
    "draw": "files",
    "draw_over_lambda": "lambda_curves",
    "make": "files",
    "write": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
