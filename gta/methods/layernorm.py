"""LayerNorm tuning: the normalisation layers train, the rest of the backbone is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method, is_head


@dataclass(frozen=True)
class LayerNorm(Method):
    """Scales and shifts of the normalisation layers and the head train; all else is frozen."""

    name: ClassVar[str] = "layernorm"
    title: ClassVar[str] = "LayerNorm tuning"
    reference: ClassVar[str] = (
        "Basu et al., Strong Baselines for Parameter Efficient Few-Shot Fine-tuning, AAAI 2024"
    )

    def trains(self, parameter: str) -> bool:
        """Parameters of norm layers, and the head."""
        return is_head(parameter) or any("norm" in part for part in parameter.split(".")[:-1])
