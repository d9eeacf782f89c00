"""The methods that a study can use: the package's and its own, with their settings and grids."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from gta.errors import GtaError
from gta.methods import METHODS, Method, load_method, settings_model, settings_of
from gta.study.config import Config, MethodSettings
from gta.study.load import file_of, read_yaml, validate

OF_FILES = ("own_methods", "own_kinds")  # stanzas of a config that name a Python file


class StudyMethods(Mapping[str, type[Method]]):
    """Methods by name, as a config sets them up.

    The package's come first, in their order, then the config's own.
    """

    def __init__(self, config: Config, files: Sequence[Path] = ()) -> None:
        """Import the study's own methods and check all settings.

        Args:
            config: the study's config; the paths in ``own_methods`` are resolved already.
            files: the files it came from, for error messages.

        Raises:
            GtaError: a method cannot be imported, or a setting is invalid.
        """
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
        self._settings: dict[str, MethodSettings] = {}
        for name, given in config.methods.items():
            self._settings[name] = self._checked(name, given or {}, files)
        for name in self._settings:
            self.create(name)  # for checks of a method's own, in its __post_init__

    def _checked(
        self, name: str, given: Mapping[str, Any], files: Sequence[Path]
    ) -> MethodSettings:
        method = self._classes[name]
        accepted = (*(("grid",) if self._has_penalty(name) else ()), *settings_of(method))
        for key in given:
            if key not in accepted:
                where = file_of(["methods", name, str(key)], files)
                choice = f"{name} has: {', '.join(accepted)}" if accepted else f"{name} has none"
                raise GtaError(f"{where}: methods.{name}.{key}: unknown key; {choice}")
        model = cast(type[MethodSettings], settings_model(method, MethodSettings))
        return validate(model, given, files, under=("methods", name))

    def _has_penalty(self, name: str) -> bool:
        return bool(self._classes[name].grid) or name in self._own_grids

    def __getitem__(self, name: str) -> type[Method]:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def grid(self, name: str) -> tuple[float, ...]:
        """The lambdas at which a method is tried, ascending; ``(0,)`` without a penalty."""
        settings = self._settings.get(name)
        if settings is not None and settings.grid:
            return tuple(sorted(settings.grid))
        return self._own_grids.get(name) or self._classes[name].grid or (0.0,)

    def settings(self, name: str) -> dict[str, Any]:
        """The settings that the config gives a method, as JSON values, without its grid."""
        given = self._settings.get(name)
        if given is None:
            return {}
        return given.model_dump(mode="json", exclude={"grid"}, exclude_none=True)

    def create(self, name: str) -> Method:
        """A method with the config's settings."""
        given = self._settings.get(name)
        values = {k: v for k, v in given or () if k != "grid" and v is not None}
        return self._classes[name](**values)

    def origin(self, name: str) -> str:
        """The method that a variant is of; any other method itself."""
        return self._origins.get(name, name)

    def recipe(self, name: str) -> dict[str, Any]:
        """The recipe keys of a variant; empty for any other method."""
        return self._recipes.get(name, {})

    def lam_of(self, name: str) -> str:
        """What a method's lambda weighs (a reduction, for example); empty where that is fixed."""
        return self.create(name).lam_of

    def deciding(self, name: str) -> dict[str, Any]:
        """All of a method that decides a run's numbers: its settings, and its file's digest."""
        settings = self.settings(name)
        return settings | ({"file": self._digests[name]} if name in self._digests else {})


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
