"""The methods by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from gta.errors import GtaError
from gta.methods.attention_only import AttentionOnly
from gta.methods.base import Method, Step
from gta.methods.block_guide import BlockGuide
from gta.methods.bss import BSS
from gta.methods.ffn_only import FFNOnly
from gta.methods.finetune import Finetune
from gta.methods.gta import GTA
from gta.methods.l2_sp import L2SP
from gta.methods.linear_probe import LinearProbe
from gta.methods.msa_guide import MSAGuide

__all__ = ["METHODS", "Method", "Step", "create", "settings"]

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Finetune,
        L2SP,
        BSS,
        AttentionOnly,
        FFNOnly,
        GTA,
        BlockGuide,
        MSAGuide,
        LinearProbe,
    )
}


def settings(name: str) -> tuple[str, ...]:
    """Names of the settings that the method accepts.

    Raises:
        GtaError: no method has that name.
    """
    if name not in METHODS:
        raise GtaError(f"no method is named {name!r}; there are {', '.join(METHODS)}")
    return tuple(field.name for field in fields(METHODS[name]))


def create(name: str, **values: Any) -> Method:
    """The method of that name with the settings given; the others keep their defaults.

    Raises:
        GtaError: the name, a setting's name or a setting's value is unknown.
    """
    accepted = settings(name)
    for key in values:
        if key not in accepted:
            choice = f"it accepts {', '.join(accepted)}" if accepted else "it accepts none"
            raise GtaError(f"method {name}: unknown setting {key!r}; {choice}")
    return METHODS[name](**values)
