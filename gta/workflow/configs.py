"""The study of a call of Snakemake: its config files and what ``--config`` changes in them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge, read_configs, read_yaml

# Snakemake runs the Python expressions of a YAML file that has this key.
CODE = "__use_yte__"


def study_of(files: Iterable[Path | str], given: Mapping[str, Any]) -> Study:
    """The study of some config files, changed by what was given on the command line.

    Args:
        files: the study's file and its overlays, in their order.
        given: keys and values of ``--config``, as Snakemake parses them.

    Raises:
        GtaError: if a file asks to be run as code, or the config is not valid.
    """
    paths = [Path(file) for file in files]
    refuse_code(paths)
    return Study(merge(read_configs(paths), typed(given)), paths)


def typed(value: Any) -> Any:
    """A value of ``--config``, with texts like ``1e-4``, ``true`` and ``null`` as what they mean.

    Snakemake reads all scalars inside ``{…}`` and ``[…]`` as text.
    """
    if isinstance(value, Mapping):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [typed(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        meant = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    if isinstance(meant, str):  # YAML 1.1 reads 1e-4 as a text
        try:
            return float(meant) if meant[:1] in "+-.0123456789" else value
        except ValueError:
            return value
    return meant if meant is None or isinstance(meant, bool | int | float) else value


def refuse_code(files: Iterable[Path]) -> None:
    """Check that config files are data.

    Raises:
        GtaError: if one cannot be read, or has the key by which Snakemake would run Python in it.
    """
    for file in files:
        if CODE in read_yaml(file):
            raise GtaError(
                f"{file}: {CODE}: a config is data, and Snakemake would run the code in it; "
                "remove the key (only profiles may be code)"
            )


def check_command_line(words: Sequence[str]) -> None:
    """End the process with one line if a call of Snakemake names a config that is code.

    A profile calls it, since Snakemake reads the configs before the Snakefile.
    """
    try:
        refuse_code(_configs_in(words))
    except GtaError as error:
        sys.exit(f"error: {error}")


def _configs_in(words: Sequence[str]) -> list[Path]:
    """The config files that a command line names after ``--configfile``."""
    files: list[Path] = []
    reading = False
    for word in words:
        if word.startswith("-"):
            option, _, value = word.partition("=")
            # Snakemake takes `--configfiles` too, and any beginning that is not `--config`.
            named = "--configfiles".startswith(option) and len(option) > len("--config")
            reading = named and not value
            if named and value:
                files.append(Path(value))
        elif reading:
            files.append(Path(word))
    return files
