"""The inputs of training, checked before the first iteration: no damaged file is trained on.

A damaged file is renamed ``*.damaged.*``, so that Snakemake, which goes by what is there, makes it
again; the job ends with one line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from gta.data import contents
from gta.data.store import Store
from gta.errors import GtaError
from gta.files import put_away
from gta.methods import is_head
from gta.models import originals
from gta.models.sources import Prepared, frozen_source, read_prepared
from gta.results.weights import trained_weights
from gta.study import Recipe, Run, Study
from gta.study.commands import command

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Opened = TypeVar("Opened")


class SourceWeights:
    """A source as runs start from it, read once for all of them."""

    def __init__(self, prepared: Prepared, recipe: Recipe, device: torch.device) -> None:
        """Build nothing yet: a source that does not fit is an error of the runs that need it.

        Args:
            prepared: the source's file, read.
            recipe: architecture and image size.
            device: where the frozen source computes.
        """
        self._prepared = prepared
        self._architecture, self._image_size = recipe.architecture, recipe.image_size
        self._device = device

    @property
    def path(self) -> Path:
        """The source's file."""
        return self._prepared.path

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The file's tensors by name, on the CPU."""
        return self._prepared.weights

    @cached_property
    def model(self) -> VisionTransformer:
        """The frozen source.

        Raises:
            GtaError: the weights do not fit the architecture.
        """
        model = frozen_source(self.weights, self.path, self._architecture, self._image_size)
        return model.to(self._device)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The frozen source's parameters by name."""
        return dict(self.model.named_parameters())


def open_store(study: Study, dataset: str) -> Store:
    """Open a prepared dataset after hashing all of it.

    Raises:
        GtaError: if it is missing or cannot be read, or the files it was made from have changed;
            if it is damaged, ``store.json`` is renamed.
    """
    folder = study.store(dataset)

    def look() -> Store:
        return Store(folder, verify=True)

    store = _or_put_away(look, folder / "store.json", _files(folder))
    contents.require_current(study, dataset)
    return store


def open_source(study: Study, name: str) -> Prepared:
    """Read a prepared source, whose weights must be those that its metadata name.

    Raises:
        GtaError: if it is missing or cannot be read, or the file it was made from has changed; if
            it is damaged, it is renamed.
    """
    path = study.weights(name)
    prepared = _or_put_away(lambda: read_prepared(path), path, [path])
    originals.require_current(study, name)
    return prepared


def trained_head(study: Study, run: Run) -> dict[str, Tensor] | None:
    """The head that a run starts from, by name; None if its method draws one.

    Raises:
        GtaError: the run that trains it is not done, or its weights are damaged.
    """
    probe = study.head_run(run)
    if probe is None:
        return None
    path = trained_weights(study, probe)
    if path is None:
        raise GtaError(
            f"{run.name}: starts from the head of {probe.name}, which is not trained: "
            f"`{command(study, 'train', probe.name)}`"
        )
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if is_head(name)}  # noqa: SIM118


def _files(folder: Path) -> list[Path]:
    names = ("store.json", "index.parquet", "pixels.bin", "masks.bin")
    return [path for path in folder.glob("*") if path.name in names]


def _may_read(file: Path) -> bool:
    return os.access(file, os.R_OK, effective_ids=True)


def _or_put_away(look: Callable[[], Opened], path: Path, files: list[Path]) -> Opened:
    try:
        return look()
    except GtaError as error:
        if not all(map(_may_read, [path, *files])):  # it is missing or may not be read
            raise
        aside = f"set aside as {put_away(path).name}: the next `snakemake` makes it again"
        raise error.with_remedy(aside) from None
