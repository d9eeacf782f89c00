"""The fine-tuning methods, one file each; ``Method`` says how to write one. No torch here."""

from gta.methods.base import Method, Over, Step, changes_model, full_precision, is_head
from gta.methods.readings import Blocks, Readings, TapRequest
from gta.methods.registry import (
    METHODS,
    build,
    create,
    load_method,
    settings_model,
    settings_of,
)

__all__ = [
    "METHODS",
    "Blocks",
    "Method",
    "Over",
    "Readings",
    "Step",
    "TapRequest",
    "build",
    "changes_model",
    "create",
    "full_precision",
    "is_head",
    "load_method",
    "settings_model",
    "settings_of",
]
