"""Options of Snakemake that hold for a family of rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def for_family(options: Mapping[str, Any], name: str, rules: Iterable[str]) -> dict[str, Any]:
    """Apply the settings of ``name`` to every rule of a family.

    Args:
        options: by rule, e.g. what ``--set-threads`` or a profile's ``set-resources`` say.
        name: of the family.
        rules: its rules. What is set for one of them by its own name takes precedence, key by
            key where it is a mapping.
    """
    spread = dict(options)
    for rule in rules if name in options else ():
        spread[rule] = options[name]
        if rule not in options:
            continue
        if not hasattr(options[rule], "update"):  # one value in place of several
            spread[rule] = options[rule]
            continue
        spread[rule] = options[name].copy()  # a dict, or Snakemake's Resources
        spread[rule].update(options[rule])
    return spread
