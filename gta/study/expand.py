"""Expansion of a config and the declared tables to the set of runs, each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from operator import itemgetter
from typing import Any

from gta.catalog import MIXES
from gta.errors import GtaError
from gta.study.chosen_methods import StudyMethods
from gta.study.config import Config
from gta.study.faults import Faults, listed, nearest
from gta.study.heads import head_fault
from gta.study.kinds import Place, StudyKinds
from gta.study.run import RUN_FIELDS, Run
from gta.study.tables import Cells, Declarations, TableSpec

FileOf = Callable[..., str]  # the file that sets a key, for messages
Cell = tuple[str, str, str, str, float]  # ``gta.study.run.CELL``

BASELINE = "finetune"  # of gains and intervals: in every table whose cells name it


@dataclass(frozen=True)
class Requested:
    """The tables and figures that a config asks for.

    Attributes:
        specs: stanzas by name, tables before figures.
        where: file and key of each, for messages.
    """

    specs: dict[str, TableSpec]
    where: dict[str, tuple[str, str]]


def requested_specs(
    config: Config, declared: Declarations, kinds: StudyKinds, file_of: FileOf, faults: Faults
) -> Requested:
    """Find what ``tables`` and ``figures`` name; own tables and figures join without being named.

    Args:
        config: of the study.
        declared: the content of its ``tables_file``.
        kinds: those of the package and the config's own.
        file_of: file that sets a key of the config, for messages.
        faults: where it is noted that a name is not declared or declared twice, a stanza does
            not fit its kind, or ``restrict`` names what the study does not have.
    """
    requested = Requested({}, {})
    taken: set[str] = set()
    known: set[str] = set()
    unfit: set[str] = set()
    places: tuple[Place, ...] = ("tables", "figures")
    for place in places:
        specs: dict[str, tuple[str, str, TableSpec]] = {
            name: (config.tables_file, place, spec)
            for name, spec in getattr(declared, place).items()
        }
        for name, spec in getattr(config, f"own_{place}").items():
            key = f"own_{place}"
            if name in specs:
                what = f"{config.tables_file} declares one of this name; choose another"
                faults.add(GtaError(what, where=f"{file_of(key, name)}: {key}.{name}"))
            specs[name] = (file_of(key, name), key, spec)
        for name, (file, key, spec) in specs.items():
            if name in taken:
                what = f"{name!r} is declared as a table and as a figure; rename one"
                faults.add(GtaError(what, where=file))
            taken.add(name)
            try:
                kinds.check(place, f"{file}: {key}.{name}", spec)
            except GtaError as fault:
                faults.add(fault)
                unfit.add(name)
        for name in dict.fromkeys([*getattr(config, place), *getattr(config, f"own_{place}")]):
            if name not in specs:
                parts = (
                    f"{config.tables_file} declares no {name!r}",
                    nearest(name, specs),
                    f"it has: {listed(getattr(declared, place))}",
                )
                what = "; ".join(filter(None, parts))
                faults.add(GtaError(what, where=f"{file_of(place)}: {place}"))
                continue
            known.add(name)
            if name in unfit:
                continue
            file, key, spec = specs[name]
            requested.specs[name] = spec
            requested.where[name] = (file, f"{key}.{name}")
    _check_restrictions(config, known, file_of, faults)
    return requested


def _check_restrictions(
    config: Config, names: Collection[str], file_of: FileOf, faults: Faults
) -> None:
    for name, restriction in config.restrict.items():
        if name not in names:
            parts = (f"{name!r} is not among the study's tables and figures", nearest(name, names))
            what = "; ".join(filter(None, parts))
            faults.add(GtaError(what, where=f"{file_of('restrict', name)}: restrict"))
        for field, has in (("datasets", config.datasets), ("rates", config.rates)):
            for value in getattr(restriction, field) or ():
                if value not in has:
                    where = f"{file_of('restrict', name, field)}: restrict.{name}.{field}"
                    faults.add(GtaError(f"the study has no {value}", where=where))


class Expansion:
    """Expands the cells of a study's tables and figures."""

    def __init__(
        self,
        config: Config,
        methods: StudyMethods,
        requested: Requested,
        file_of: FileOf,
        faults: Faults,
    ) -> None:
        """Read which methods the config selects.

        Args:
            config: of the study.
            methods: the package's and its own.
            requested: the tables and figures it asks for.
            file_of: file that sets a key of the config, for messages.
            faults: where it is noted that a table names a method, mix, source role or rate that
                does not exist, or has none that the config selects.
        """
        self._config, self._methods, self._requested = config, methods, requested
        self._file_of, self._faults = file_of, faults
        defined = {*config.variants, *config.own_methods}
        self._selected = {*config.methods, *config.extra_methods, *defined, BASELINE}
        specs = requested.specs.values()
        named = {name for spec in specs for cells in spec.cells for name in cells.method}
        self._joining = [name for name in config.methods if name not in named]
        self.of_cell: dict[Cell, tuple[Run, ...]] = {}  # the runs expanded so far

    def runs_of(self, cell: Cell) -> tuple[Run, ...]:
        """The runs of a cell, all lambdas and seeds; the same objects for every table."""
        if cell not in self.of_cell:
            dataset, source, method, mix, rate = cell
            self.of_cell[cell] = tuple(
                Run(dataset, rate, source, method, mix, lam, seed, tuned)
                for (lam, tuned), seed in product(self._methods.points(method), self._config.seeds)
            )
        return self.of_cell[cell]

    def cells_of(self, name: str) -> Iterator[Cell]:
        """The cells that a table or figure needs; one may come more than once."""
        config, spec = self._config, self._requested.specs[name]
        file, key = self._requested.where[name]
        restriction = config.restrict.get(name)
        wanted = (restriction and restriction.datasets) or config.datasets
        datasets = [dataset for dataset in wanted if dataset in config.datasets]
        allowed = [
            rate
            for rate in config.rates
            if not (restriction and restriction.rates) or rate in restriction.rates
        ]
        any_method = False
        for cells in spec.cells:
            if not self._is_known(cells, f"{file}: {key}", name):
                return
            rates = rates_of(cells, allowed)
            if not rates:
                what = f"none of them is one of {name}'s"
                self._faults.add(GtaError(what, where=f"{self._file_of('rates')}: rates"))
                return
            chosen = self._chosen(name, spec, cells)
            any_method |= bool(chosen)
            for dataset, rate, role, method, mix in product(
                datasets, rates, cells.source, chosen, cells.mix
            ):
                yield dataset, config.sources[role], method, mix, float(rate)
        if spec.cells and not any_method:
            shown = listed(dict.fromkeys(m for cells in spec.cells for m in cells.method))
            what = f"selects none of the methods of {name} ({shown}); add one, or leave {name} out"
            self._faults.add(GtaError(what, where=f"{self._file_of('methods')}: methods"))

    def _chosen(self, name: str, spec: TableSpec, cells: Cells) -> list[str]:
        """The methods of some cells that the config selects, and those that join.

        Own tables and figures run all that they name. Methods that no table names join those that
        are open to them (``extra: true``).
        """
        config = self._config
        joining = [*self._joining, *config.extra_methods] if spec.extra else []
        open_to_all = not config.methods or name in {*config.own_tables, *config.own_figures}
        own = [method for method in cells.method if open_to_all or method in self._selected]
        return list(dict.fromkeys([*own, *joining]))

    def _is_known(self, cells: Cells, where: str, name: str) -> bool:
        before = self._faults.count
        for what, values, known in (
            ("method", cells.method, self._methods),
            ("mix", cells.mix, MIXES),
        ):
            for value in values:
                self._check(where, what, value, known)
        for role in cells.source:
            if role not in self._config.sources:
                roles = ", ".join(self._config.sources)
                what = f"{name} needs a source in the role {role!r}; there are: {roles}"
                self._faults.add(GtaError(what, where=f"{self._file_of('sources')}: sources"))
        return self._faults.count == before

    def _check(self, where: str, what: str, value: str, known: Any) -> None:
        if value not in known:
            parts = (
                f"there is no {what} {value!r}",
                nearest(value, known),
                f"known: {listed(known)}",
            )
            self._faults.add(GtaError("; ".join(filter(None, parts)), where=where))


def rates_of(cells: Cells, rates: list[float]) -> list[float]:
    """The rates of some cells among those of the study, in the order of the cells."""
    if cells.rate == "all":
        return rates
    ends = {"lowest": min(rates, default=None), "highest": max(rates, default=None)}
    wanted = [ends[rate] if isinstance(rate, str) else rate for rate in cells.rate]
    return [rate for rate in dict.fromkeys(wanted) if rate is not None and rate in rates]


@dataclass
class Expanded:
    """Runs that the tables and figures of a study need.

    Attributes:
        cells: of each, sorted.
        runs: of each.
        owner: for each run the first of them that needs it.
        of_cell: the runs of each cell.
    """

    cells: dict[str, tuple[Cell, ...]]
    runs: dict[str, frozenset[Run]]
    owner: dict[Run, str]
    of_cell: dict[Cell, tuple[Run, ...]]

    def require(self, run: Run, study: str) -> None:
        """Check that a run is one of these.

        Raises:
            GtaError: it is not; the message names the first field that no run has together with
                the fields before it, and the values that there are.
        """
        if run in self.owner:
            return
        left: Iterable[Run] = self.sorted_runs()
        for field in RUN_FIELDS:
            alike = [other for other in left if getattr(other, field) == getattr(run, field)]
            if not alike:
                there = ", ".join(dict.fromkeys(other.text(field) for other in left))
                raise GtaError(
                    f"study {study} has no run {run.name}: {field} is {run.text(field)}, not "
                    f"one of {there}"
                )
            left = alike

    def sorted_runs(self) -> tuple[Run, ...]:
        """All runs in their order, cell by cell: sorting them all takes a study's longest time."""
        cells = sorted(self.of_cell, key=itemgetter(0, 4, 1, 2, 3))  # as the fields of ``Run``
        return tuple(chain.from_iterable(sorted(self.of_cell[cell]) for cell in cells))


def expand(
    config: Config,
    methods: StudyMethods,
    requested: Requested,
    file_of: FileOf,
    faults: Faults,
) -> Expanded:
    """Expand the cells of all tables and figures.

    Faults are noted as by ``Expansion``; also that two tables want a run with different recipes.
    """
    expansion = Expansion(config, methods, requested, file_of, faults)
    expanded = Expanded({}, {}, {}, expansion.of_cell)
    for name, spec in requested.specs.items():
        cells = frozenset(expansion.cells_of(name))
        runs = frozenset(chain.from_iterable(map(expansion.runs_of, cells)))
        for other in expanded.runs:
            if requested.specs[other].recipe == spec.recipe:
                continue
            shared = [run for run in runs & expanded.runs[other] if expanded.owner[run] == other]
            if shared:
                what = (
                    f"{other} and {name} disagree on the recipe of {min(shared).name}; a run has "
                    "one recipe: put one of them into a study of its own"
                )
                faults.add(GtaError(what, where=config.tables_file))
        expanded.cells[name] = tuple(sorted(cells))
        expanded.runs[name] = runs
        # Both reuse the runs' hashes, which take a third of the time of a large study.
        expanded.owner = dict.fromkeys(runs, name) | expanded.owner
    for method in sorted({cell[2] for cell in expanded.of_cell}):
        if fault := head_fault(method, methods):
            faults.add(GtaError(fault, where=f"{file_of('methods', method)}: methods.{method}"))
        elif (probe := methods[method].init_head) is not None:
            _add_heads(expanded, expansion, method, probe)
    return expanded


def _add_heads(expanded: Expanded, expansion: Expansion, method: str, probe: str) -> None:
    """Add the runs of ``probe`` whose heads a method's start from; no table shows them for that."""
    for cell in [cell for cell in expanded.of_cell if cell[2] == method]:
        dataset, source, _, _, rate = cell
        owner = expanded.owner[expanded.of_cell[cell][0]]
        heads = expansion.runs_of((dataset, source, probe, "none", rate))
        expanded.owner = dict.fromkeys(heads, owner) | expanded.owner
