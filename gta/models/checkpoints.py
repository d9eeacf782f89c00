"""Checkpoint files as people publish them, read without running their code."""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from gta.data.fetch.archives import what_instead
from gta.errors import GtaError

MOST_EXPANSION = 2  # bytes that a file may claim to hold, for each byte of it


class Inert:
    """Stands for an object of another package: keeps its state as data and does nothing."""

    def __init__(self, *args: Any, **_: Any) -> None:
        self.state: Any = args

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Accept any arguments, as pickles of other classes give them."""
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _mapping(*_: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


class _Mapping:
    """Stands for a subclass of dict: its pickle fills an ordered dictionary instead."""

    def __new__(cls, *_: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Return the dictionary to fill."""
        return OrderedDict()


# What checkpoints hold beside tensors: settings of their training. None of these classes is
# imported or called; what stands in their place is.
_OMEGACONF = ("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata")
_NODES = ("Any", "Integer", "Float", "String", "Boolean", "Enum", "Path", "Bytes")
_BUILTINS = ("list", "dict", "int", "float", "str", "bool", "tuple", "set")
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_NUMPY = ("core.multiarray.scalar", "core.multiarray._reconstruct", "dtype", "ndarray")
_INERT = (
    *(f"omegaconf.{name}" for name in (*_OMEGACONF, "base.Metadata")),
    *(f"omegaconf.nodes.{name}Node" for name in _NODES),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"numpy.{name}" for name in _NUMPY),
    *(f"numpy.{name}".replace(".core.", "._core.") for name in _NUMPY[:2]),
    "typing.Any",
    "_codecs.encode",  # of the bytes in numpy's scalars
)
_MAPPINGS = (
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "easydict.EasyDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
_SETTINGS: dict[str, Callable[..., Any]] = {
    "argparse.Namespace": argparse.Namespace,
    "collections.defaultdict": _mapping,
    **dict.fromkeys(_MAPPINGS, _Mapping),
    **dict.fromkeys(_INERT, Inert),
}
READ = "argparse.Namespace, yacs and OmegaConf settings, numpy scalars, paths and plain containers"


def read_checkpoint(path: Path) -> dict[Any, Any]:
    """Read a checkpoint, safetensors or ``torch.save`` of any age, without running its code.

    The file's first bytes, not its name, tell which of the two it is.

    Returns:
        What it holds: tensors by name, or such mappings beside other things of the training.

    Raises:
        GtaError: if the file is missing, damaged or not a checkpoint, or if it is a pickle that
            needs a class or function besides tensors and settings of trainings.
    """
    try:
        if (impostor := what_instead(path)) is not None:
            raise GtaError(f"{path}: damaged, or not written by torch.save: it is {impostor}")
        with path.open("rb") as file:
            start = file.read(9)
        # safetensors: the header's length in eight bytes, then the header in JSON
        pickled = start.startswith((b"PK", b"\x80"))
        if start[8:] == b"{" or (path.suffix == ".safetensors" and not pickled):
            return dict(load_file(path))
    except OSError as error:
        raise GtaError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, MemoryError, OverflowError) as error:
        if isinstance(error, GtaError):
            raise
        said = " ".join(str(error).split())
        raise GtaError(f"{path}: cannot be read as safetensors: {said}") from None
    _check_expansion(path)
    try:
        allowed: list[Any] = [(function, name) for name, function in _SETTINGS.items()]
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:  # by its name, torch would take it for safetensors
                content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        raise GtaError(f"{path}: {_reason(error)}") from None
    if not isinstance(content, dict):
        raise GtaError(f"{path}: holds a {type(content).__name__} in place of tensors by name")
    return content


def _check_expansion(path: Path) -> None:
    """Refuse a zip file whose members claim far more bytes than the file has.

    ``torch.save`` does not compress.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            claimed = sum(member.file_size for member in file.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return  # torch says what is wrong
    size = path.stat().st_size
    if claimed > MOST_EXPANSION * size + 2**20:
        raise GtaError(f"{path}: claims to hold {claimed:,} bytes and has {size:,}; refused")


def _reason(error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked is None:
        # Of torch's message only the fault: its advice is to open the file without care.
        lines = str(error).strip() or type(error).__name__
        detail = " ".join(re.split(r"[.:]\s", lines)[0].split())
        return f"damaged, or not written by torch.save: {detail[:200]}"
    return (
        f"refused: to be read it wants to call {asked[1]}, which could do anything; besides "
        f"tensors only {READ} are read. Save its weights alone where it was made: "
        "torch.save(model.state_dict(), file)"
    )


def plain(value: Any) -> Any:
    """Settings of a checkpoint as dictionaries, lists and values."""
    if isinstance(value, argparse.Namespace):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Inert) and isinstance(value.state, dict):
        for key in ("_content", "_val"):  # OmegaConf's containers and nodes
            if key in value.state:
                return plain(value.state[key])
        return None
    return value if isinstance(value, str | int | float | bool) else None
