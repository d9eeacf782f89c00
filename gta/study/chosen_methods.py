"""The methods that a study can use: the package's and its own, with their settings and grids."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from gta.errors import GtaError
from gta.methods import METHODS, Method, load_method, settings_model, settings_of
from gta.methods.combined import SIGN, Combined, combine
from gta.study.config import Config
from gta.study.faults import Faults, nearest
from gta.study.load import file_of, read_yaml, validate
from gta.study.own import MethodSettings
from gta.study.points import LR, Point, points_of, values_of

TRIED = {"grid", "lr"}  # keys of a method that are not settings of its class
OF_FILES = ("own_methods", "own_kinds")  # stanzas of a config that name a Python file


class StudyMethods(Mapping[str, type[Method]]):
    """Methods by name, as a config sets them up.

    The package's come first, in their order, then the config's own.
    """

    def __init__(
        self, config: Config, files: Sequence[Path] = (), faults: Faults | None = None
    ) -> None:
        """Import the study's own methods and check all settings.

        Args:
            config: the study's config; the paths in ``own_methods`` are resolved already.
            files: the files it came from, for error messages.
            faults: where invalid settings are noted, whose methods then have their defaults;
                default: they are raised.

        Raises:
            GtaError: a method cannot be imported, or a setting is invalid.
        """
        found = Faults() if faults is None else faults
        self._classes = dict(METHODS)
        self._digests: dict[str, str] = {}
        self._own_grids: dict[str, tuple[float, ...]] = {}
        for name, own in config.own_methods.items():
            method, self._digests[name] = load_method(Path(own.file), name)
            if own.title is not None:
                method = type(method.__name__, (method,), {"title": own.title, **_origin(method)})
            if not hasattr(method, "title"):
                where = file_of(["own_methods", name], files)
                raise GtaError(f"{where}: own_methods.{name}.title: missing, as in {own.file}")
            self._classes[name] = method
            if own.grid is not None:
                self._own_grids[name] = tuple(sorted(own.grid))
        self._origins: dict[str, str] = {}
        self._recipes: dict[str, dict[str, Any]] = {}
        for name, variant in config.variants.items():
            base = self._classes[variant.of]
            named = {"name": name, "title": variant.title, **_origin(base)}
            self._classes[name] = type(base.__name__, (base,), named)
            self._origins[name] = variant.of
            self._recipes[name] = variant.recipe
            if variant.of in self._digests:
                self._digests[name] = self._digests[variant.of]
            if variant.of in self._own_grids:
                self._own_grids[name] = self._own_grids[variant.of]
        self._parts: dict[str, tuple[str, ...]] = {}
        for name in combined_names(config):
            alone = {one: cls for one, cls in self._classes.items() if one not in config.variants}
            places = {"methods": config.methods, "extra_methods": config.extra_methods}
            place = next((key for key, names in places.items() if name in names), "own_tables")
            try:
                self._classes[name] = combine(name, alone)
            except GtaError as error:
                where = file_of([place, name], files)
                raise GtaError(f"{where}: {place}.{error}") from None
            self._parts[name] = tuple(name.split(SIGN))
        self._settings: dict[tuple[str, ...], MethodSettings] = {}
        self._lrs: dict[str, tuple[float, ...]] = {}
        for name, given in config.methods.items():
            try:
                self._read(name, given or {}, files)
                self.create(name)  # for checks of a method's own, in its __post_init__
            except GtaError as fault:
                found.add(fault)
                self._settings = {key: v for key, v in self._settings.items() if key[0] != name}
        for name in self._parts:
            if name not in config.methods:
                self.create(name)
        if faults is None:
            found.raise_any()

    def _read(self, name: str, given: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Check what the config says of a method, of a combination part by part."""
        parts = self._parts.get(name)
        rates = {"lr": given["lr"]} if "lr" in given else {}
        tried = validate(MethodSettings, rates, files, under=("methods", name)).lr
        if tried is not None:
            self._lrs[name] = tuple(sorted(tried))
        own = {key: value for key, value in given.items() if key != "lr"}
        if parts is None:
            self._settings[(name,)] = self._checked((name,), own, files)
            return
        for key, value in own.items():
            if key not in parts or not isinstance(value, Mapping | None):
                where = file_of(["methods", name, str(key)], files)
                has = f"{name} has: lr, and the settings of each part under {', '.join(parts)}"
                raise GtaError(f"{where}: methods.{name}.{key}: unknown key; {has}")
        for part in parts:
            self._settings[name, part] = self._checked((name, part), own.get(part) or {}, files)

    def _checked(
        self, path: tuple[str, ...], given: Mapping[str, Any], files: Sequence[Path]
    ) -> MethodSettings:
        name = path[-1]
        method = self._classes[name]
        has_grid = self._has_penalty(name)
        lr = ("lr",) if len(path) == 1 else ()
        accepted = (*(("grid",) if has_grid else ()), *lr, *settings_of(method))
        return checked_settings(path, method, given, files, accepted)

    def _has_penalty(self, name: str) -> bool:
        return bool(self._classes[name].grid) or name in self._own_grids

    def __getitem__(self, name: str) -> type[Method]:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def grid(self, name: str) -> tuple[float, ...]:
        """The lambdas at which a method is tried, ascending; ``(0,)`` without a penalty.

        Of a combination, those of its first part that has some.
        """
        if name in self._parts:
            return next(iter(self._grids_of_parts(name).values()), (0.0,))
        return self._grid((name,))

    def _grid(self, path: tuple[str, ...]) -> tuple[float, ...]:
        settings = self._settings.get(path)
        if settings is not None and settings.grid:
            return tuple(sorted(settings.grid))
        name = path[-1]
        return self._own_grids.get(name) or self._classes[name].grid or (0.0,)

    def _grids_of_parts(self, name: str) -> dict[str, tuple[float, ...]]:
        """The lambdas of each part of a combination that has a penalty."""
        parts = filter(self._has_penalty, self._parts[name])
        return {part: self._grid((name, part)) for part in parts}

    def tuned_grids(self, name: str) -> dict[str, tuple[float, ...]]:
        """Parameters tuned besides lambda: a combination's further lambdas, by part, and ``lr``."""
        grids = self._grids_of_parts(name) if name in self._parts else {}
        beside = dict(list(grids.items())[1:])
        return beside | ({LR: self._lrs[name]} if name in self._lrs else {})

    def points(self, name: str) -> tuple[Point, ...]:
        """All that is tried of a method: the product of its grids."""
        return tuple(points_of(self.grid(name), self.tuned_grids(name)))

    def settings(self, name: str) -> dict[str, Any]:
        """The settings that the config gives a method, as JSON values, without its grids.

        Those of a combination's parts are named ``part.setting``.
        """
        found: dict[str, Any] = {}
        for path, given in self._settings.items():
            if path[0] == name:
                own = given.model_dump(mode="json", exclude=TRIED, exclude_none=True)
                found |= {".".join([*path[1:], key]): value for key, value in own.items()}
        return found

    def create(self, name: str, tuned: str = "") -> Method:
        """A method with the config's settings.

        Args:
            name: of the method.
            tuned: of a run, where the further lambdas of a combination stand; default: the first
                of each grid.
        """
        if name not in self._parts:
            return self._create((name,))
        parts = self._parts[name]
        grids = self._grids_of_parts(name)
        lams: dict[str, float | None] = dict.fromkeys(parts, 0.0)
        lams |= {part: grid[0] for part, grid in grids.items()} | dict.fromkeys(list(grids)[:1])
        lams |= {part: value for part, value in values_of(tuned).items() if part in lams}
        return cast(type[Combined], self._classes[name])(
            tuple(self._create((name, part)) for part in parts), tuple(lams.values())
        )

    def _create(self, path: tuple[str, ...]) -> Method:
        given = self._settings.get(path)
        values = {k: v for k, v in given or () if k not in TRIED and v is not None}
        return self._classes[path[-1]](**values)

    def origin(self, name: str) -> str:
        """The method that a variant is of; any other method itself."""
        return self._origins.get(name, name)

    def recipe(self, name: str) -> dict[str, Any]:
        """The recipe keys of a variant; empty for any other method."""
        return self._recipes.get(name, {})

    def lam_of(self, name: str) -> str:
        """Unit of a method's lambda (a reduction, for example); empty if it is fixed."""
        return self.create(name).lam_of

    def deciding(self, name: str) -> dict[str, Any]:
        """All of a method that decides a run's numbers: its settings, and its file's digest."""
        own = (part for part in self._parts.get(name, ()) if part in self._digests)
        files = {f"{part}.file": self._digests[part] for part in own}
        if name in self._digests:
            files = {"file": self._digests[name]}
        return self.settings(name) | files


def combined_names(config: Config) -> list[str]:
    """The combinations that a config names."""
    stanzas = {**config.own_tables, **config.own_figures}.values()
    shown = [name for stanza in stanzas for cells in stanza.cells for name in cells.method]
    names = dict.fromkeys([*config.methods, *config.extra_methods, *shown])
    return [name for name in names if SIGN in name]


def checked_settings(
    path: Sequence[str],
    method: type[Method],
    given: Mapping[str, Any],
    files: Sequence[Path],
    accepted: Collection[str],
) -> MethodSettings:
    """The settings and the grid that a config gives a method.

    Args:
        path: keys below ``methods`` at which they stand.
        method: whose settings they are.
        given: the settings.
        files: of the config, for error messages.
        accepted: keys that may be given.

    Raises:
        GtaError: a key is unknown, or a value invalid; ``ConfigError`` for several.
    """
    name, faults = path[-1], Faults()
    for key in given:
        if key not in accepted:
            where = file_of(["methods", *path, str(key)], files)
            there = f"{name} has: {', '.join(accepted)}" if accepted else f"{name} has none"
            what = "; ".join(filter(None, ("unknown key", nearest(str(key), accepted), there)))
            faults.add(GtaError(what, where=f"{where}: {'.'.join(['methods', *path, str(key)])}"))
    model = cast(type[MethodSettings], settings_model(method, MethodSettings))
    known = {key: value for key, value in given.items() if key in accepted}
    with faults.noted():
        settings = validate(model, known, files, under=("methods", *path))
    faults.raise_any()
    return settings


def note_others(content: Mapping[str, Any], files: Sequence[Path], faults: Faults) -> None:
    """Note faults in the settings of the package's methods, where a config is invalid elsewhere."""
    methods = content.get("methods")
    for name, given in methods.items() if isinstance(methods, Mapping) else ():
        if name in METHODS and isinstance(given, Mapping):
            method = METHODS[name]
            accepted = (*(("grid",) if method.grid else ()), "lr", *settings_of(method))
            with faults.noted():
                checked_settings((name,), method, given, files, accepted)


def _origin(method: type[Method]) -> dict[str, str]:
    return {"__module__": method.__module__, "__doc__": method.__doc__ or ""}


def with_resolved_paths(content: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """A merged config whose files of ``own_methods`` and ``own_kinds`` are absolute paths.

    A relative path is relative to the config file that names it, or to the working folder where no
    file does.
    """
    resolved = dict(content)
    for key in OF_FILES:
        own = content.get(key)
        if isinstance(own, Mapping):
            resolved[key] = {
                name: {
                    **stanza,
                    "file": str((_folder_of(key, name, files) / stanza["file"]).resolve()),
                }
                if isinstance(stanza, Mapping) and isinstance(stanza.get("file"), str)
                else stanza
                for name, stanza in own.items()
            }
    return resolved


def with_relative_paths(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A config of ``with_resolved_paths``, its paths relative to ``file``, which is to hold it."""
    moved = dict(content)
    for key in OF_FILES:
        if content.get(key):
            moved[key] = {
                name: {**stanza, "file": os.path.relpath(stanza["file"], file.resolve().parent)}
                for name, stanza in content[key].items()
            }
    return moved


def _folder_of(key: str, name: str, files: Sequence[Path]) -> Path:
    """The folder of the last config file that names a file under ``key`` and ``name``."""
    for path in reversed(files):
        stanza = (read_yaml(path).get(key) or {}).get(name)
        if isinstance(stanza, Mapping) and "file" in stanza:
            return path.parent
    return Path()
