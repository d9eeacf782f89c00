"""The methods by name: those of the package, and a study's own from files outside it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError

from gta.errors import GtaError
from gta.methods.base import Method

Settings = TypeVar("Settings", bound=BaseModel)

RESERVED = frozenset({"grid", "lr"})  # keys of ``methods.<name>`` in a config that are not settings


def discover() -> MappingProxyType[str, type[Method]]:
    """The package's methods by name: every named ``Method`` in a file of ``gta/methods``."""
    found: list[type[Method]] = []
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("_"):
            found += defined_in(importlib.import_module(f"gta.methods.{module.name}"))
    found.sort(key=lambda method: (method.order, method.name))
    return MappingProxyType({method.name: method for method in found})


def defined_in(module: ModuleType) -> list[type[Method]]:
    """The methods that a module defines; base classes without a ``name`` are left out."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and "name" in vars(value)
    ]


METHODS = discover()


def load_method(path: Path, name: str) -> tuple[type[Method], str]:
    """Import a method from a file outside the package.

    Args:
        path: of a Python file.
        name: of the method; the file defines one class with this ``name``.

    Returns:
        The class, and the SHA-256 of the file.

    Raises:
        GtaError: the file is missing or fails on import, or defines no such method.
    """
    module, digest = import_file(path)
    found = {method.name: method for method in defined_in(module)}
    if name not in found:
        there = f"it has: {', '.join(map(str, found))}" if found else "it has none"
        raise GtaError(f"{path}: defines no Method with name = {name!r}; {there}")
    method = found[name]
    if not is_dataclass(method) or not vars(method).get("__dataclass_params__"):
        raise GtaError(f"{path}: {method.__name__}: decorate it with @dataclass(frozen=True)")
    settings_model(method)
    return method, digest


def import_file(path: Path) -> tuple[ModuleType, str]:
    """Import a Python file from outside the package.

    Returns:
        The module, imported once for each content of the file, and the file's SHA-256.

    Raises:
        GtaError: the file cannot be read, or fails on import.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror}") from None
    return _module(path, digest), digest


@cache
def _module(path: Path, digest: str) -> ModuleType:
    """The module in a file; imported once for each content."""
    name = f"gta_own_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise GtaError(f"{path}: is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's own: anything may happen
        del sys.modules[name]
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise GtaError(f"{path}: cannot be imported: {said}") from None
    return module


def settings_of(method: type[Method]) -> tuple[str, ...]:
    """Names of a method's settings: its dataclass fields."""
    return tuple(field.name for field in fields(method))


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def settings_model(method: type[Method], base: type[BaseModel] = _Settings) -> type[BaseModel]:
    """A pydantic model of a method's settings, each of its field's type or None (not given).

    Args:
        method: whose dataclass fields are the settings.
        base: model whose configuration and keys it inherits.

    Raises:
        GtaError: a field's type cannot be checked, or its name is reserved.
    """
    names = settings_of(method)
    if clash := [name for name in names if name in RESERVED]:
        raise GtaError(f"method {method.name}: a setting cannot be called {clash[0]!r}")
    try:
        hints = get_type_hints(method, include_extras=True)
        keys: dict[str, Any] = {name: (hints[name] | None, None) for name in names}
        return create_model(method.__name__, __base__=base, **keys)
    except (NameError, TypeError, PydanticUserError) as error:
        said = str(error).splitlines()[0]
        raise GtaError(f"method {method.name}: a setting's type cannot be read: {said}") from None


def create(name: str, **values: Any) -> Method:
    """The package's method of this name; settings that are not given keep their defaults.

    Raises:
        GtaError: the name, a setting's name or a setting's value is invalid.
    """
    if name not in METHODS:
        raise GtaError(f"no method is named {name!r}; there are {', '.join(METHODS)}")
    return build(METHODS[name], values)


def build(method: type[Method], values: dict[str, Any]) -> Method:
    """A method with settings, checked against its fields' types.

    Raises:
        GtaError: a setting's name or value is invalid.
    """
    accepted = settings_of(method)
    for key in values.keys() - set(accepted):
        raise GtaError(f"method {method.name}: unknown setting {key!r}; {_choice(accepted)}")
    try:
        # strict JSON, as a config's values: a list may stand for a tuple, but no text for a number
        checked = settings_model(method).model_validate_json(json.dumps(values))
    except ValidationError as error:
        fault = error.errors()[0]
        said = f"{fault['loc'][0]}: {fault['input']!r}: {fault['msg']}"
        raise GtaError(f"method {method.name}: {said}") from None
    return method(**{key: value for key, value in checked if value is not None})


def _choice(accepted: Iterable[str]) -> str:
    names = ", ".join(accepted)
    return f"it accepts {names}" if names else "it accepts none"
