"""Guided Transfer of Spatial Attention: the study of arXiv 2401.02656 as a pipeline.

``import gta`` is light; what these names need is imported when they are first used::

    study = gta.open("results/mini")
    study.gain("gta", over="finetune")
    model = study.runs(method="gta", rate=15)[0].model()
    attention_map = gta.attention(model, "photo.jpg")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gta.attention.image import attention as attention
    from gta.attention.maps import overlay as overlay
    from gta.errors import GtaError as GtaError
    from gta.interface import RunResults as RunResults
    from gta.interface import StudyResults as StudyResults
    from gta.interface import open as open

__version__ = "0.1.0"

# Where each public name is defined. `attention` is the package of that name, which is callable.
_PUBLIC = {
    "GtaError": "gta.errors",
    "RunResults": "gta.interface",
    "StudyResults": "gta.interface",
    "attention": "gta.attention",
    "open": "gta.interface",
    "overlay": "gta.attention.maps",
}
__all__ = ["GtaError", "RunResults", "StudyResults", "attention", "open", "overlay"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    return module if module.__name__ == f"gta.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
