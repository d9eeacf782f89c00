"""From a config and the declared tables to the set of runs, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from gta.catalog import MIXES
from gta.errors import GtaError
from gta.study.chosen_methods import StudyMethods
from gta.study.config import Config
from gta.study.kinds import Place, StudyKinds
from gta.study.run import Run
from gta.study.tables import Declarations, TableSpec

FileOf = Callable[..., str]  # the file that sets a key, for messages


@dataclass(frozen=True)
class Requested:
    """The tables and figures that a config asks for.

    Attributes:
        specs: stanzas by name, tables before figures.
        where: file and key of each, for messages.
    """

    specs: dict[str, TableSpec]
    where: dict[str, str]


def requested_specs(
    config: Config, declared: Declarations, kinds: StudyKinds, file_of: FileOf
) -> Requested:
    """Find what ``tables`` and ``figures`` name; own tables and figures join without being named.

    Args:
        config: of the study.
        declared: the content of its ``tables_file``.
        kinds: those of the package and the config's own.
        file_of: file that sets a key of the config, for messages.

    Raises:
        GtaError: a name is not declared or declared twice, a stanza does not fit its kind, or
            ``restrict`` names what the study does not have.
    """
    requested = Requested({}, {})
    taken: dict[str, str] = {}
    places: tuple[Place, ...] = ("tables", "figures")
    for place in places:
        specs: dict[str, tuple[str, str, TableSpec]] = {
            name: (config.tables_file, place, spec)
            for name, spec in getattr(declared, place).items()
        }
        for name, spec in getattr(config, f"own_{place}").items():
            if name in specs:
                raise GtaError(
                    f"{file_of(f'own_{place}', name)}: own_{place}.{name}: {config.tables_file} "
                    "declares one of this name; choose another"
                )
            specs[name] = (file_of(f"own_{place}", name), f"own_{place}", spec)
        for name, (file, key, spec) in specs.items():
            if name in taken:
                raise GtaError(
                    f"{file}: {name!r} is declared as a table and as a figure; rename one"
                )
            taken[name] = place
            kinds.check(place, f"{file}: {key}.{name}", spec)
        for name in dict.fromkeys([*getattr(config, place), *getattr(config, f"own_{place}")]):
            if name not in specs:
                raise GtaError(
                    f"{file_of(place)}: {place}: {config.tables_file} declares no {name!r}; "
                    f"it has: {', '.join(getattr(declared, place))}"
                )
            file, key, spec = specs[name]
            requested.specs[name] = spec
            requested.where[name] = f"{file}: {key}.{name}"
    _check_restrictions(config, requested.specs, file_of)
    return requested


def _check_restrictions(config: Config, specs: Mapping[str, TableSpec], file_of: FileOf) -> None:
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


def runs_of(
    config: Config,
    methods: StudyMethods,
    requested: Requested,
    name: str,
    file_of: FileOf,
) -> Iterator[Run]:
    """All runs that a table or figure needs.

    Raises:
        GtaError: if the table names a method, mix, source role or rate that does not exist.
    """
    spec, where = requested.specs[name], requested.where[name]
    restriction = config.restrict.get(name)
    datasets = (restriction and restriction.datasets) or config.datasets
    allowed = set((restriction and restriction.rates) or config.rates)
    for cells in spec.cells:
        chosen = [*cells.method, *(config.extra_methods if spec.extra else [])]
        _check(where, "method", chosen, methods)
        _check(where, "mix", cells.mix, MIXES)
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


def _check(where: str, what: str, values: list[str], known: Any) -> None:
    for value in values:
        if value not in known:
            raise GtaError(f"{where}: there is no {what} {value!r}; known: {', '.join(known)}")


def expand(
    config: Config, methods: StudyMethods, requested: Requested, file_of: FileOf
) -> tuple[dict[str, frozenset[Run]], dict[Run, str]]:
    """Each table's runs, and for each run the first table that needs it.

    Raises:
        GtaError: if two tables want the same run with different recipes.
    """
    needs: dict[str, frozenset[Run]] = {}
    owner: dict[Run, str] = {}
    for name, spec in requested.specs.items():
        needs[name] = frozenset(runs_of(config, methods, requested, name, file_of))
        for run in needs[name]:
            other = owner.setdefault(run, name)
            if requested.specs[other].recipe != spec.recipe:
                raise GtaError(
                    f"{config.tables_file}: {other} and {name} disagree on the recipe of "
                    f"{run.name}; a run has one recipe: put one of them into a study of its own"
                )
    return needs, owner
