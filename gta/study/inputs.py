"""Datasets and sources of a study: what is known of them, and where their files lie."""

from __future__ import annotations

import csv
import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

from gta.catalog import (
    DATASETS,
    READER_VERSION,
    RENDERER_VERSION,
    SOURCES,
    STORE_FORMAT,
    Archive,
    DatasetInfo,
    Form,
    SourceInfo,
)
from gta.errors import GtaError
from gta.files import json_digest
from gta.project import find_config, folder_of, resolve
from gta.study.config import Config


class StudyInputs:
    """The files that a study reads; ``Study`` adds the runs that are made of them.

    Attributes:
        config: the validated config.
        root: the project's folder, which relative paths start from.
    """

    def __init__(self, config: Config, root: Path) -> None:
        """Read nothing yet."""
        self.config = config
        self.root = root
        self._stores: dict[str, str] = {}  # digests of what they are made of
        self._weights: dict[str, str] = {}

    def dataset_info(self, name: str) -> DatasetInfo:
        """Description of a dataset, from the catalog or the config.

        Raises:
            GtaError: if neither has it.
        """
        own = self.config.own_datasets
        if name in own:
            return own[name].info
        if name not in DATASETS:
            raise GtaError(f"there is no dataset {name!r}; known: {', '.join([*DATASETS, *own])}")
        info = DATASETS[name]
        return dataclasses.replace(info, forms=tuple(map(self._form, info.forms)))

    def source_info(self, name: str) -> SourceInfo:
        """Description of a source, from the catalog or the config.

        Raises:
            GtaError: if neither has it.
        """
        own = self.config.own_sources
        if name in own:
            return own[name].info
        if name not in SOURCES:
            raise GtaError(f"there is no source {name!r}; known: {', '.join([*SOURCES, *own])}")
        info = SOURCES[name]
        archive = info.archive and self.expected(info.archive)
        architecture = self.config.architectures.get(name, info.architecture)
        return dataclasses.replace(info, archive=archive, architecture=architecture)

    def _form(self, form: Form) -> Form:
        return dataclasses.replace(
            form,
            archives=tuple(map(self.expected, form.archives)),
            optional=tuple(map(self.expected, form.optional)),
        )

    def expected(self, archive: Archive) -> Archive:
        """An archive, held to the digest that the config gives, where it gives one."""
        digest = self.config.digests.get(archive.file)
        if digest is None:
            return archive
        return dataclasses.replace(archive, sha256=digest, md5=None, size=None)

    @cached_property
    def dataset_kinds(self) -> dict[str, str]:
        """Settings of each dataset's images: ``procedural`` or ``images``."""
        return {name: self.dataset_info(name).kind for name in self.config.datasets}

    # Where they lie

    @property
    def tables_file(self) -> Path:
        """The file that declares the tables and figures."""
        return find_config(Path(self.config.tables_file), self.root)

    @property
    def reference_folders(self) -> tuple[Path, ...]:
        """Folders of published numbers: beside the tables file, then beside the shipped one."""
        shipped = find_config(Path("config/tables.yaml"), self.root)
        return tuple(dict.fromkeys(f.parent / "reference" for f in (self.tables_file, shipped)))

    def reference_file(self, name: str) -> Path:
        """The file of published numbers of this name; the first place if there is none."""
        places = [folder / f"{name}.csv" for folder in self.reference_folders]
        return next((path for path in places if path.is_file()), places[0])

    @property
    def reference_study(self) -> Path | None:
        """The results folder of the study that stands in place of the paper, if one does."""
        reference = self.config.reference
        return None if reference is None else self.resolve(reference.study)

    def resolve(self, path: str) -> Path:
        """A path that the config gives, relative to the project's folder."""
        return resolve(path, self.root)

    @property
    def archives_root(self) -> Path:
        """Folder where archives of datasets are placed or fetched, shared by all studies."""
        return folder_of("GTA_ARCHIVES", "data/archives", self.root)

    @property
    def weights_root(self) -> Path:
        """Folder where files of sources are placed or fetched, shared by all studies."""
        return folder_of("GTA_WEIGHTS", "data/weights", self.root)

    @property
    def store_root(self) -> Path:
        """Folder of prepared datasets and sources, shared by all studies."""
        return folder_of("GTA_STORE", "data/store", self.root)

    def placed_folder(self, dataset: str) -> Path:
        """Folder of a dataset without archives: an own one, or a catalog's unpacked by hand."""
        folder = self.dataset_info(dataset).folder
        own = dataset in self.config.own_datasets
        return self.resolve(folder) if own else self.archives_root / folder

    def source_place(self, file: str) -> Path:
        """Path of a source's file: a bare name lies in the weights folder."""
        return self.resolve(file) if "/" in file else self.weights_root / file

    def store(self, dataset: str) -> Path:
        """Folder of the prepared dataset; its name tells the settings it was made with."""
        if dataset not in self._stores:
            self._stores[dataset] = json_digest(self.data_settings(dataset))
        digest = self._stores[dataset]
        return self.store_root / f"{dataset}-{digest[:12]}"

    def data_settings(self, dataset: str) -> dict[str, Any]:
        """The settings that decide what the prepared dataset holds."""
        info = self.dataset_info(dataset)
        if info.kind == "procedural":
            settings = self.config.procedural.model_dump(mode="json")
            return {"format": STORE_FORMAT, "renderer": RENDERER_VERSION, **settings}
        settings = self.config.images.model_dump(mode="json", exclude={"counts"})
        settings["short_side"] = self.short_side(dataset)
        own: dict[str, Any] = {}
        if dataset in self.config.own_datasets:
            # absolute, since other working folders may share the store
            own = {"path": str(self.resolve(info.folder).absolute())}
            if info.mask_void is not None:
                own["mask_void"] = info.mask_void
            if info.drawn is not None:
                own["split"] = dataclasses.asdict(info.drawn)
        return {"format": STORE_FORMAT, "reader": READER_VERSION, **settings, **own}

    def has_masks(self, dataset: str) -> bool:
        """Whether images of a dataset may have object masks, by the catalog or by file names."""
        if dataset not in self.config.own_datasets:
            return self.dataset_info(dataset).masks
        place = self.placed_folder(dataset)
        try:
            if place.is_file():
                with place.open(encoding="utf-8-sig", newline="") as file:
                    return "mask" in next(csv.reader(file), [])
            if place.is_dir():
                return any(path.is_dir() for path in (place / "masks", *place.glob("*/masks")))
        except (OSError, UnicodeDecodeError, csv.Error):
            pass
        return True  # not on this machine; preparing it will tell

    def short_side(self, dataset: str) -> int | None:
        """Pixels of the shorter side in the store, of larger images; None keeps their size."""
        shrinks = self.dataset_info(dataset).shrinks
        return self.config.images.short_side if shrinks else None

    def weights(self, source: str) -> Path:
        """The prepared weights of a source; the name tells what they are made of."""
        if source not in self._weights:
            self._weights[source] = json_digest(self._made_of(source))
        digest = self._weights[source]
        return self.store_root / "sources" / f"{source}-{digest[:12]}.safetensors"

    def _made_of(self, source: str) -> list[Any]:
        info = self.source_info(source)
        file = (info.archive.file, info.archive.sha256) if info.archive else None
        made_of: list[Any] = [info.architecture, info.shipped, file, info.hub]
        if source in self.config.own_sources:
            # where it lies, since other projects may share the store
            made_of.append(str(self.source_place(file[0] if file else "").absolute()))
            made_of += [info.key, info.in_channels, info.heads]
        return made_of
