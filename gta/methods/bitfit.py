"""BitFit: the biases train, the rest of the backbone is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method, is_head


@dataclass(frozen=True)
class BitFit(Method):
    """The biases and the head train; all else is frozen."""

    name: ClassVar[str] = "bitfit"
    title: ClassVar[str] = "BitFit"
    reference: ClassVar[str] = (
        "Ben Zaken et al., BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based "
        "Masked Language-models, ACL 2022"
    )

    def trains(self, parameter: str) -> bool:
        """Biases and head."""
        return parameter.endswith(".bias") or is_head(parameter)
