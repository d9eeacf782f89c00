"""Published protocols for masks from attention and their comparison with object masks."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from gta.errors import GtaError


@dataclass(frozen=True)
class Protocol:
    """A protocol: how masks are made from attention and compared with object masks.

    Attributes:
        name: as tables show it.
        mass: share of each head's attention that the mask keeps, in (0, 1].
        heads: ``best`` takes each object's best head (an oracle), ``mean`` the mean over heads.
        ignore_void: whether void pixels count neither as mask nor as background. The public
            code of both presets means to leave them out but counts them as background.
        size: side in pixels of the square that image and mask are resized to, where the masks
            are those of a dataset of their own; None is the recipe's image size.
    """

    name: str
    mass: float
    heads: Literal["best", "mean"] = "best"
    ignore_void: bool = False
    size: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.mass <= 1:
            raise GtaError(f"protocol {self.name}: mass {self.mass:g} is not in (0, 1]")


# evaluate_segmentation.py of Muzammal-Naseer/IPViT and of helia95/SAR; 0.6 is DINO's as well. As
# their code runs, then as it was meant.
PROTOCOLS: MappingProxyType[str, Protocol] = MappingProxyType(
    {
        "sar": Protocol("sar", 0.6, size=480),
        "ipvit": Protocol("ipvit", 0.9, size=512),
        "sar_without_void": Protocol("sar_without_void", 0.6, ignore_void=True, size=480),
        "ipvit_without_void": Protocol("ipvit_without_void", 0.9, ignore_void=True, size=512),
    }
)
