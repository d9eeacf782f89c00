"""Merging of an overlay that chooses other tables or runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gta.study.config import Config
from gta.study.load import read_configs, read_yaml
from gta.study.run import RUN_FIELDS, Run
from gta.study.sections import Override
from gta.study.tables import TableSpec

Settled = tuple[Config, dict[str, Any]]  # a config, and its content as a file holds it

CHOOSING_TABLES = frozenset({"tables", "figures", "own_tables", "own_figures"})
DECIDING_RUNS = CHOOSING_TABLES | frozenset(
    {"datasets", "rates", "sources", "methods", "extra_methods", "restrict"}
)


def settled_methods(
    config: Config,
    content: dict[str, Any],
    files: Sequence[Path],
    specs: Mapping[str, TableSpec],
    known: Sequence[str],
) -> Settled:
    """Make ``methods`` fit tables that an overlay has chosen in place of those below it.

    Methods that only the tables below used are forgotten. If all of ``methods`` stands below, it
    selects nothing: every method that the tables name runs.

    Args:
        config: the merged config.
        content: what it was read from.
        files: the study's file and its overlays.
        specs: the tables and figures that it asks for.
        known: names of methods, in their order.
    """
    given = config.methods
    below = _methods_below_tables(content, files)
    if not below or not given:
        return config, content
    shown = {method for spec in specs.values() for cells in spec.cells for method in cells.method}
    kept: dict[str, dict[str, Any] | None]
    if below >= given.keys():
        kept = {name: given.get(name) or {} for name in known if name in shown}
    else:
        kept = {name: own for name, own in given.items() if name in shown or name not in below}
    return config.model_copy(update={"methods": kept}), {**content, "methods": kept}


def _methods_below_tables(content: Mapping[str, Any], files: Sequence[Path]) -> set[str]:
    """Methods that are named only below the file that last chooses tables and figures."""
    layers = [read_yaml(path) for path in files]
    chooses = [place for place, layer in enumerate(layers) if layer.keys() & CHOOSING_TABLES]
    last = chooses[-1] if chooses else 0
    merged = read_configs(files)
    if any(content.get(key) != merged.get(key) for key in ("tables", "figures")):
        last = len(layers)  # they were chosen on the command line
    names = [{str(name) for name in layer.get("methods") or ()} for layer in layers]
    return set().union(*names[:last]) - set().union(*names[last:])


def settled_overrides(
    config: Config, content: dict[str, Any], files: Sequence[Path], runs: Sequence[Run]
) -> Settled:
    """Forget what ``overrides`` say of runs that an overlay has taken away.

    Args:
        config: the merged config.
        content: what it was read from.
        files: the study's file and its overlays.
        runs: of the study.
    """
    layers = [read_yaml(path).keys() for path in files]
    overriding = [place for place, keys in enumerate(layers) if "overrides" in keys]
    if not overriding or not any(keys & DECIDING_RUNS for keys in layers[overriding[-1] + 1 :]):
        return config, content
    there = {field: {getattr(run, field) for run in runs} for field in RUN_FIELDS}
    kept: list[Override] = []
    texts: list[dict[str, Any]] = []
    for override, text in zip(config.overrides, content["overrides"], strict=True):
        named = {field: values for field, values in override if field in there and values}
        left = {
            field: [value for value in values if value in there[field]]
            for field, values in named.items()
        }
        if all(left.values()):
            kept.append(override.model_copy(update=left))
            texts.append({**text, **left})
    return config.model_copy(update={"overrides": kept}), {**content, "overrides": texts}
