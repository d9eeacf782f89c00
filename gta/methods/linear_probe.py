"""Linear probe: a control that the paper does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method, is_head


@dataclass(frozen=True)
class LinearProbe(Method):
    """The head trains on the features of the frozen source."""

    name: ClassVar[str] = "linear_probe"
    title: ClassVar[str] = "Linear probe"
    order: ClassVar[int] = 9

    def trains(self, parameter: str) -> bool:
        """The head only."""
        return is_head(parameter)
