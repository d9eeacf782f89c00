"""Kinds of tables and figures: what each declares, and where they are found.

A kind is a class in a file of its own. ``gta.tables.kinds.TableKind`` and
``gta.figures.kinds.FigureKind`` say how to write one; this module holds what the config and the
workflow must know of it. No pandas, torch or matplotlib here: Snakemake imports it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gta.errors import GtaError
from gta.methods.registry import import_file
from gta.study.faults import nearest

if TYPE_CHECKING:
    from gta.study import Study
    from gta.study.tables import TableSpec

Place = Literal["tables", "figures"]
Input = Literal[
    "metrics",
    "intervals",
    "segmentation",
    "robustness",
    "averages",
    "backdoor",
    "stores",
    "masks",
    "source",
]
"""Inputs of a table or figure: the collected metrics, the intervals of gains, the masks
measured from attention, the tests on corrupted images, the tests of averaged weights, the tests on
images with a trigger, the prepared datasets, the datasets whose masks are used, the main source's
weights."""

PACKAGES: dict[Place, str] = {"tables": "gta.tables.kinds", "figures": "gta.figures.kinds"}


class Kind:
    """Declaration of a kind of table or figure for the config and the workflow.

    Attributes:
        name: ``kind:`` in the stanza of a table or figure.
        place: where its stanzas stand.
        inputs: files it is made of; the workflow makes them first.
        cells: whether its stanza lists runs (``cells:``); without, it sums up other tables.
        weights: whether it needs the trained weights of its runs.
        metrics: columns of the metrics that it reads, beside accuracies and attention mass.
        masks: whether it needs object masks.
        axes: whether ``groups``, ``rows`` and ``columns`` must hold every field in which its cells
            differ, and some field lie down the table.
        reference_columns: what the file of its stanza's ``reference`` must have.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    inputs: ClassVar[tuple[Input, ...]] = ("metrics",)
    cells: ClassVar[bool] = True
    weights: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ()
    masks: ClassVar[bool] = False
    axes: ClassVar[bool] = False
    reference_columns: ClassVar[tuple[str, ...]] = ()

    def check(self, spec: TableSpec) -> None:
        """Check a stanza; called when the config is read.

        Raises:
            ValueError: says what is wrong with it.
        """

    def check_study(self, study: Study, name: str) -> None:
        """Check that a study can make a table or figure of it; called when the config is read.

        Raises:
            ValueError: says why it cannot.
        """

    def settings(self, study: Study, name: str) -> dict[str, Any]:
        """Settings of the config, beside the stanza, that decide what it shows."""
        return {}


@cache
def discover() -> MappingProxyType[str, Kind]:
    """The package's kinds by name."""
    found: dict[str, Kind] = {}
    for package in PACKAGES.values():
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for module in pkgutil.iter_modules([str(folder)]):
            for kind in defined_in(importlib.import_module(f"{package}.{module.name}")):
                found[kind.name] = kind()
    return MappingProxyType(found)


def defined_in(module: ModuleType) -> list[type[Kind]]:
    """The kinds that a module defines; base classes without a ``name`` are left out."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Kind)
        and value.__module__ == module.__name__
        and "name" in vars(value)
    ]


class StudyKinds(Mapping[str, Kind]):
    """The package's kinds, and those in the files that a config names."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """Import a study's own kinds.

        Args:
            files: Python files by the name of the kind that each defines.

        Raises:
            GtaError: a file cannot be imported or does not define its kind.
        """
        self._kinds = dict(discover())
        self._digests: dict[str, str] = {}
        for name, path in files.items():
            if name in self._kinds:
                raise GtaError(f"own_kinds: {name!r} is a kind of the package; choose another name")
            module, self._digests[name] = import_file(path)
            found = {kind.name: kind for kind in defined_in(module)}
            if name not in found:
                there = ", ".join(found) or "none"
                raise GtaError(f"{path}: defines no kind with name = {name!r}; it has: {there}")
            self._kinds[name] = found[name]()

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def digest(self, name: str) -> str | None:
        """SHA-256 of the file of a study's own kind; None for the package's."""
        return self._digests.get(name)

    def check(self, place: Place, where: str, spec: TableSpec) -> None:
        """Check a stanza against its kind.

        Args:
            place: under which it stands.
            where: its file and key, for messages.
            spec: the stanza.

        Raises:
            GtaError: it does not fit.
        """
        kind = self.get(spec.kind)
        if kind is None:
            there = [name for name, other in self.items() if other.place == place]
            what = (f"there is no kind {spec.kind!r}", nearest(spec.kind, there))
            told = "; ".join(filter(None, (*what, f"known: {', '.join(there)}")))
            raise GtaError(told, where=f"{where}.kind")
        if kind.place != place:
            raise GtaError(f"{where}: kind {spec.kind} does not belong under {place}")
        if bool(spec.cells) != kind.cells:
            verb = "needs" if kind.cells else "takes no"
            raise GtaError(f"{where}: kind {spec.kind} {verb} cells")
        try:
            kind.check(spec)
        except ValueError as error:
            raise GtaError(f"{where}: {error}") from None
