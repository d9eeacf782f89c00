"""From a config and the declared tables to the set of runs, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from gta.catalog import MIXES
from gta.errors import GtaError
from gta.study.chosen_methods import StudyMethods
from gta.study.config import Config
from gta.study.run import Run
from gta.study.tables import Declarations, TableSpec

FileOf = Callable[..., str]  # the file that sets a key, for messages


def asked(config: Config, declared: Declarations, file_of: FileOf) -> dict[str, TableSpec]:
    """The tables and figures that a config asks for, by name.

    Raises:
        GtaError: if one is not declared, or ``restrict`` names what the study has not.
    """
    specs: dict[str, TableSpec] = {}
    for kind, names, known in (
        ("tables", config.tables, declared.tables),
        ("figures", config.figures, declared.figures),
    ):
        for name in names:
            if name not in known:
                raise GtaError(
                    f"{file_of(kind)}: {kind}: {config.tables_file} declares no {name!r}; "
                    f"it has: {', '.join(known)}"
                )
            specs[name] = known[name]
    for name, restriction in config.restrict.items():
        if name not in specs:
            raise GtaError(
                f"{file_of('restrict', name)}: restrict: {name!r} is not among the study's "
                "tables and figures"
            )
        for field, has in (("datasets", config.datasets), ("rates", config.rates)):
            for value in getattr(restriction, field) or ():
                if value not in has:
                    raise GtaError(
                        f"{file_of('restrict', name, field)}: restrict.{name}.{field}: "
                        f"the study has no {value}"
                    )
    return specs


def runs_of(
    config: Config, methods: StudyMethods, name: str, spec: TableSpec, file_of: FileOf
) -> Iterator[Run]:
    """All runs that a table or figure needs.

    Raises:
        GtaError: if the table names a method, mix, source role or rate that does not exist.
    """
    restriction = config.restrict.get(name)
    datasets = (restriction and restriction.datasets) or config.datasets
    allowed = set((restriction and restriction.rates) or config.rates)
    for cells in spec.cells:
        chosen = [*cells.method, *(config.extra_methods if spec.extra else [])]
        _check(config, name, "method", chosen, methods)
        _check(config, name, "mix", cells.mix, MIXES)
        for role in cells.source:
            if role not in config.sources:
                raise GtaError(
                    f"{file_of('sources')}: sources: {name} needs a source in the role {role!r}; "
                    f"there are: {', '.join(config.sources)}"
                )
        rates = config.rates if cells.rate == "all" else cells.rate
        rates = [rate for rate in rates if rate in allowed]
        if not rates:
            raise GtaError(f"{file_of('rates')}: rates: none of them is one of {name}'s")
        for dataset, rate, role, method, mix in product(
            datasets, rates, cells.source, dict.fromkeys(chosen), cells.mix
        ):
            for lam, seed in product(methods.grid(method), config.seeds):
                yield Run(dataset, float(rate), config.sources[role], method, mix, lam, seed)


def _check(config: Config, table: str, kind: str, values: list[str], known: Any) -> None:
    for value in values:
        if value not in known:
            raise GtaError(
                f"{config.tables_file}: {table}: there is no {kind} {value!r}; "
                f"known: {', '.join(known)}"
            )


def expand(
    config: Config, methods: StudyMethods, specs: Mapping[str, TableSpec], file_of: FileOf
) -> tuple[dict[str, frozenset[Run]], dict[Run, str]]:
    """Each table's runs, and for each run the first table that needs it.

    Raises:
        GtaError: if two tables want the same run with different recipes.
    """
    needs: dict[str, frozenset[Run]] = {}
    owner: dict[Run, str] = {}
    for name, spec in specs.items():
        needs[name] = frozenset(runs_of(config, methods, name, spec, file_of))
        for run in needs[name]:
            other = owner.setdefault(run, name)
            if specs[other].recipe != spec.recipe:
                raise GtaError(
                    f"{config.tables_file}: {other} and {name} disagree on the recipe of "
                    f"{run.name}; a run has one recipe: put one of them into a study of its own"
                )
    return needs, owner
