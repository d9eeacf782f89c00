"""Plain fine-tuning, the paper's baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method


@dataclass(frozen=True)
class Finetune(Method):
    """Every parameter trains on the cross entropy alone."""

    name: ClassVar[str] = "finetune"
    title: ClassVar[str] = "Fine-tuning"
    order: ClassVar[int] = 1
