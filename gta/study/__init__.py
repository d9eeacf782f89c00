"""The study: its config, its runs, and where each of its files lies.

The Snakefile, the command line and the tables all ask ``Study``; nobody expands twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from gta.project import find_config, find_project, folder_of, resolve
from gta.study.check import check
from gta.study.check_tables import may_have_masks
from gta.study.chosen_methods import (
    StudyMethods,
    note_others,
    with_relative_paths,
    with_resolved_paths,
)
from gta.study.config import COMPUTING, Config, Recipe
from gta.study.expand import Cell, expand, requested_specs
from gta.study.faults import Faults
from gta.study.heads import head_run_of
from gta.study.kinds import Kind, StudyKinds
from gta.study.load import (
    completed,
    file_of,
    merge,
    read_configs,
    read_yaml,
    validate,
    with_exponents,
)
from gta.study.overlays import settled_methods, settled_overrides
from gta.study.packs import Pack, PackGroup, groups_of, pack_key, pack_name, packs_of
from gta.study.points import LR, values_of
from gta.study.run import RUN_FIELDS, Run
from gta.study.run_files import RunFiles
from gta.study.tables import Declarations, TableSpec
from gta.study.tuning import Tuning

__all__ = ["RUN_FIELDS", "Pack", "PackGroup", "Recipe", "Run", "RunFiles", "Study", "TableSpec"]

# Part of every digest: raise it when the meaning of a recipe changes, so that old results
# count as stale.
RECIPE_VERSION = 2


class Study:
    """A validated study.

    Attributes:
        config: the validated config.
        methods: the package's methods and the config's own, with their settings.
        kinds: the package's kinds of tables and figures, and the config's own.
        specs: the tables and figures that it asks for, by name.
        root: the project's folder, which relative paths start from.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        files: Sequence[Path] = (),
        root: Path = Path(),
        folder: Path | None = None,
    ) -> None:
        """Validate a merged config and expand it.

        Args:
            content: keys and values of the merged config files.
            files: the files they came from, for error messages.
            root: the project's folder; default the working folder.
            folder: where its results lie, if not in ``results/<study>`` of the project.

        Raises:
            GtaError: a line with file and key for each thing that is wrong.
        """
        self.files = tuple(files)
        self.root = root
        self._folder = folder
        self._content = with_resolved_paths(completed(content, files), files)
        faults = Faults()
        with faults.noted():
            self.config = validate(Config, self._content, files)
        if faults.broken:
            note_others(self._content, files, faults)
            faults.raise_any()
        with faults.noted():
            self.methods = StudyMethods(self.config, files, faults)
        tables_file = self.tables_file
        with faults.noted():
            declared = validate(Declarations, read_yaml(tables_file), [tables_file])
            own_kinds = {name: Path(own.file) for name, own in self.config.own_kinds.items()}
            self.kinds = StudyKinds(own_kinds)
            requested = requested_specs(self.config, declared, self.kinds, self.file_of, faults)
            self.specs, self._where = requested.specs, requested.where
        if faults.broken:
            faults.raise_any()
        self.config, self._content = settled_methods(
            self.config, self._content, self.files, self.specs, [*self.methods]
        )
        self._expanded = expand(self.config, self.methods, requested, self.file_of, faults)
        self.config, self._content = settled_overrides(
            self.config, self._content, self.files, self._expanded.sorted_runs()
        )
        self._recipes: dict[tuple[Any, ...], Recipe] = {}
        self._digests: dict[tuple[Any, ...], str] = {}
        check(self, faults)
        faults.raise_any()

    @classmethod
    def load(
        cls,
        files: Iterable[Path | str],
        root: Path | None = None,
        folder: Path | None = None,
    ) -> Study:
        """Read a study from its config file and overlays, in their order.

        Args:
            files: paths, or names of studies, as ``gta.project.find_config`` takes them.
            root: the project's folder; default the one that the working folder lies in.
            folder: where its results lie, if not in ``results/<study>`` of the project.
        """
        root = find_project() if root is None else root
        paths = [find_config(Path(file), root) for file in files]
        return cls(read_configs(paths), paths, root, folder)

    @classmethod
    def of_workflow(cls, content: Mapping[str, Any], files: Iterable[Path | str]) -> Study:
        """The study of a config that Snakemake merged from files and its command line."""
        paths = [Path(file) for file in files]
        read_configs(paths)  # for its checks of the files themselves
        return cls(with_exponents(content), paths)

    @property
    def name(self) -> str:
        """The study's name, and that of its folder under ``results``."""
        return self.config.study

    @property
    def content(self) -> dict[str, Any]:
        """The merged config as it was given, with absolute paths of own methods."""
        return self._content

    def content_for(self, file: Path) -> dict[str, Any]:
        """The merged config as ``file`` is to hold it: paths of Python files relative to it."""
        return with_relative_paths(self._content, file)

    # What it is made of

    def dataset_info(self, name: str) -> DatasetInfo:
        """What is known of a data set: the catalog's, or the config's own.

        Raises:
            GtaError: if neither has it.
        """
        own = self.config.own_datasets
        if name in own:
            return own[name].info
        if name not in DATASETS:
            raise GtaError(f"there is no data set {name!r}; known: {', '.join([*DATASETS, *own])}")
        info = DATASETS[name]
        return dataclasses.replace(info, forms=tuple(map(self._form, info.forms)))

    def source_info(self, name: str) -> SourceInfo:
        """What is known of a source: the catalog's, or the config's own.

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

    # What is to be run

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs of the study, sorted, each once.

        With ``tune``, those at lambdas that were chosen when this was first asked for.
        """
        every = self._expanded.sorted_runs()
        return every if self.tuning is None else tuple(filter(self._needed.__contains__, every))

    @cached_property
    def _needed(self) -> frozenset[Run]:
        """With ``tune``, the runs that any choice needs, and those that follow from today's."""
        assert self.tuning is not None
        return self.tuning.planned | self.tuning.chosen(self.choice)

    @cached_property
    def tuning(self) -> Tuning | None:
        """The runs by which lambda is chosen, where the config has some seeds for it."""
        if self.config.tune is None:
            return None
        return Tuning(frozenset(self.config.tune.seeds), self._expanded.of_cell, self.digest)

    @cached_property
    def choice(self) -> dict[Cell, dict[str, float]]:
        """With ``tune``, lambda by rule for each cell that is decided; empty without."""
        return {} if self.tuning is None else self.tuning.read(self.folder)

    @cached_property
    def _head_runs(self) -> frozenset[Run]:
        """The runs whose heads others start from."""
        heads = map(self.head_run, self.runs)
        return frozenset(run for run in heads if run is not None)

    def head_run(self, run: Run) -> Run | None:
        """The run whose trained head a run starts from; None for a head of its own."""
        return head_run_of(run, self.methods)

    def find(self, name: str) -> Run:
        """The run of this name.

        Raises:
            GtaError: if the name is not that of a run, or of none of this study.
        """
        run = Run.parse(name)
        self._require(run)
        return run

    def _require(self, run: Run) -> None:
        if run in self._expanded.owner:
            return
        left = self.runs
        for field in RUN_FIELDS:  # the first that no run has together with those before it
            value = getattr(run, field)
            alike = tuple(other for other in left if getattr(other, field) == value)
            if not alike:
                there = ", ".join(dict.fromkeys(other.text(field) for other in left))
                raise GtaError(
                    f"study {self.name} has no run {run.name}: {field} is {run.text(field)}, not "
                    f"one of {there}"
                )
            left = alike

    def runs_of(self, name: str) -> frozenset[Run]:
        """The runs that a table or figure needs; with ``tune``, as ``runs``."""
        runs = self._expanded.runs[name]
        return runs if self.tuning is None else runs & self._needed

    def cells_of(self, name: str) -> tuple[Cell, ...]:
        """The cells of a table or figure, sorted; fields as ``gta.study.run.CELL``."""
        return self._expanded.cells[name]

    @cached_property
    def tables(self) -> dict[str, TableSpec]:
        """The tables asked for, by name."""
        return {name: self.specs[name] for name in self.specs if self.kind(name).place == "tables"}

    @cached_property
    def figures(self) -> dict[str, TableSpec]:
        """The figures asked for, by name."""
        return {name: self.specs[name] for name in self.specs if self.kind(name).place == "figures"}

    def kind(self, name: str) -> Kind:
        """The kind of a table or figure."""
        return self.kinds[self.specs[name].kind]

    def shown_by(self, name: str) -> dict[str, Any]:
        """What decides how a table or figure is shown, besides its inputs, as JSON values."""
        spec = self.specs[name]
        return {
            "stanza": spec.model_dump(mode="json"),
            "settings": self.kind(name).settings(self, name),
            "file": self.kinds.digest(spec.kind),
        }

    def grid(self, method: str) -> tuple[float, ...]:
        """The lambdas at which a method is tried; ``(0,)`` without a penalty."""
        return self.methods.grid(method)

    def recipe(self, run: Run) -> Recipe:
        """The recipe of a run: the study's, matching overrides, its variant's, its table's.

        Raises:
            GtaError: if the run is not one of the study's.
        """
        key = self.recipe_key(run)
        if key not in self._recipes:
            matching, variant, table, photographs, lr = key
            given = self.config.recipe.model_dump()
            for i in matching:
                given = merge(given, self.config.overrides[i].recipe)
            if variant is not None:
                given = merge(given, self.config.variants[variant].recipe)
            given = merge(given, self.specs[table].recipe)
            if lr is not None:
                given = {**given, "lr": lr}
            recipe = validate(Recipe, given, self.files, under=("recipe",))
            self._recipes[key] = recipe.with_test_view() if photographs else recipe
        return self._recipes[key]

    def recipe_key(self, run: Run) -> tuple[tuple[int, ...], str | None, str, bool, float | None]:
        """What decides a run's recipe: overrides, variant and table laid over the study's.

        Then comes whether its dataset holds photographs, which need a test view, and its own
        learning rate, where its method tunes it.
        """
        self._require(run)
        overrides = enumerate(self.config.overrides)
        matching = tuple(i for i, override in overrides if override.matches(run))
        variant = run.method if run.method in self.config.variants else None
        photographs, own = self._holds_photographs(run.dataset), values_of(run.tuned).get(LR)
        return matching, variant, self._expanded.owner[run], photographs, own

    def _holds_photographs(self, dataset: str) -> bool:
        return self.dataset_kinds[dataset] != "procedural"

    @cached_property
    def dataset_kinds(self) -> dict[str, str]:
        """How the images of each dataset come about: ``procedural`` or ``images``."""
        return {name: self.dataset_info(name).kind for name in self.config.datasets}

    def file_of(self, *keys: str) -> str:
        """The config file that sets a key, for messages."""
        return file_of(keys, self.files)

    @property
    def places_of_specs(self) -> Mapping[str, tuple[str, str]]:
        """File and key of the stanza of each table and figure, for messages."""
        return self._where

    def method_settings(self, method: str) -> dict[str, Any]:
        """The settings that the config gives a method, without its grid."""
        return self.methods.settings(method)

    def keeps_weights(self, run: Run) -> bool:
        """Whether the run's trained weights are kept."""
        if run in self._head_runs:
            return True
        if self.config.keep_weights != "figures":
            return self.config.keep_weights == "all"
        return run in self._weighty

    @cached_property
    def _weighty(self) -> frozenset[Run]:
        return frozenset().union(
            *(self._expanded.runs[name] for name in self.specs if self.needs_weights(name))
        )

    def needs_weights(self, name: str) -> bool:
        """Whether a table or figure needs the trained weights of its runs."""
        wanted = self.specs[name].weights
        return self.kind(name).weights if wanted is None else wanted

    def digest(self, run: Run) -> str:
        """Digest of all that decides the numbers of a run, but data and source.

        A result whose digest is another is stale. What only places or shows results
        (tables, figures, packs) is left out, so that changing it reruns nothing.
        """
        head = self.head_run(run)
        head_kind = None if head is None else (self.recipe_key(head), head.method)
        kind = self.recipe_key(run), run.method, run.mix, head_kind
        return self._digest_once(kind, lambda: self._deciding(run))

    def _deciding(self, run: Run) -> dict[str, Any]:
        recipe, head = self.recipe(run), self.head_run(run)
        used, _ = recipe.mixing(run.mix)
        unused = {"transmix", "mixup_cutmix"} - {used}
        if run.mix != "none":
            unused.add("base_mix")
        return {
            "version": RECIPE_VERSION,
            "recipe": recipe.model_dump(mode="json", exclude=unused | COMPUTING),
            "method": self.methods.deciding(run.method),
            "split": self.config.split.model_dump(mode="json"),
            **({} if head is None else {"head": self.digest(head)}),
        }

    def _digest_once(self, key: tuple[Any, ...], content: Callable[[], Any]) -> str:
        # A study asks for few different digests, once for each of its thousands of jobs.
        if key not in self._digests:
            text = json.dumps(content(), sort_keys=True, separators=(",", ":"))
            self._digests[key] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[key]

    # Jobs

    @cached_property
    def _packs(self) -> dict[tuple[tuple[str, str], ...], Pack]:
        runs = (run for run in self._expanded.sorted_runs() if run not in self._later)
        return packs_of(runs, self.config.pack)

    @cached_property
    def _later(self) -> dict[Run, Pack]:
        """With ``tune``, the job of each run that may follow from the choice: one run each."""
        later = () if self.tuning is None else self.tuning.later
        return {pack.runs[0]: pack for pack in packs_of(later, []).values()}

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The training jobs."""
        later = (self._later[run] for run in self.runs if run in self._later)
        return (*self._packs.values(), *later)

    @property
    def possible_packs(self) -> tuple[Pack, ...]:
        """The training jobs, also those that may follow from a choice that is not made yet."""
        return (*self._packs.values(), *self._later.values())

    @cached_property
    def pack_groups(self) -> list[PackGroup]:
        """The training rules that the packs need, also those that may follow from a choice."""
        packs, later = tuple(self._packs.values()), tuple(self._later.values())
        return [*groups_of(packs, self.config.pack, self._later), *groups_of(later, [])]

    def pack(self, wildcards: Mapping[str, str]) -> Pack:
        """The pack with these values of the unpacked fields.

        Raises:
            GtaError: if the study has no such pack.
        """
        if self._later and wildcards.keys() >= set(RUN_FIELDS):
            name = "/".join(f"{field}={wildcards[field]}" for field in RUN_FIELDS)
            if (run := Run.parse(name)) in self._later:
                return self._later[run]
        fields = [field for field in RUN_FIELDS if field not in self.config.pack]
        if not wildcards.keys() >= set(fields):
            raise GtaError(f"study {self.name}: a job is named by {', '.join(fields)}")
        key = tuple((field, wildcards[field]) for field in fields)
        if key not in self._packs:
            named = "/".join(f"{field}={value}" for field, value in key)
            raise GtaError(f"study {self.name} has no job for {named}")
        return self._packs[key]

    def heads_of(self, pack: Pack) -> list[Run]:
        """The runs of other packs whose heads runs of this one start from."""
        heads = {self.head_run(run) for run in pack.runs} - {None, *pack.runs}
        return sorted(run for run in heads if run is not None)

    # Places

    @property
    def folder(self) -> Path:
        """The study's results folder."""
        return self._folder or self.root / "results" / self.name

    @property
    def tables_file(self) -> Path:
        """The file that declares the tables and figures."""
        return find_config(Path(self.config.tables_file), self.root)

    @property
    def reference_folders(self) -> tuple[Path, ...]:
        """Where published numbers lie: beside the tables file, then beside the shipped one."""
        shipped = find_config(Path("config/tables.yaml"), self.root)
        return tuple(dict.fromkeys(f.parent / "reference" for f in (self.tables_file, shipped)))

    def reference_file(self, name: str) -> Path:
        """The file of published numbers of this name; the first place if there is none."""
        places = [folder / f"{name}.csv" for folder in self.reference_folders]
        return next((path for path in places if path.is_file()), places[0])

    def resolve(self, path: str) -> Path:
        """A path that the config gives, relative to the project's folder."""
        return resolve(path, self.root)

    def run_files(self, run: Run) -> RunFiles:
        """The files of a run.

        Raises:
            GtaError: if the run is not one of the study's.
        """
        digest, job = self.digest(run), pack_name(pack_key(run, self.config.pack))
        return RunFiles(run, self.folder, digest, self.keeps_weights(run), job)

    @property
    def archives_root(self) -> Path:
        """Where archives of data sets are placed or fetched, shared by all studies."""
        return folder_of("GTA_ARCHIVES", "data/archives", self.root)

    @property
    def weights_root(self) -> Path:
        """Where files of sources are placed or fetched, shared by all studies."""
        return folder_of("GTA_WEIGHTS", "data/weights", self.root)

    @property
    def store_root(self) -> Path:
        """Where prepared data sets and sources lie, shared by all studies."""
        return folder_of("GTA_STORE", "data/store", self.root)

    def placed_folder(self, dataset: str) -> Path:
        """Where a dataset lies without archives: an own one, or a catalog's unpacked by hand."""
        folder = self.dataset_info(dataset).folder
        own = dataset in self.config.own_datasets
        return self.resolve(folder) if own else self.archives_root / folder

    def source_place(self, file: str) -> Path:
        """Where a source's file lies: a bare name in the weights folder, else a path."""
        return self.resolve(file) if "/" in file else self.weights_root / file

    def store(self, dataset: str) -> Path:
        """Folder of the prepared data set; its name tells the settings it was made with."""
        digest = self._digest_once(("store", dataset), lambda: self.data_settings(dataset))
        return self.store_root / f"{dataset}-{digest[:12]}"

    def data_settings(self, dataset: str) -> dict[str, Any]:
        """The settings that decide what the prepared data set holds."""
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
        """Whether images of a dataset may have object masks, as its files or the catalog say."""
        return may_have_masks(self, dataset)

    def short_side(self, dataset: str) -> int | None:
        """Pixels of the shorter side in the store, of larger images; None keeps their size."""
        shrinks = self.dataset_info(dataset).shrinks
        return self.config.images.short_side if shrinks else None

    def weights(self, source: str) -> Path:
        """The prepared weights of a source; the name tells what they are made of."""
        digest = self._digest_once(("source", source), lambda: self._made_of(source))
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

    def title(self, run: Run) -> str:
        """A run in words, for messages."""
        mix = "" if run.mix == "none" else f" + {run.mix}"
        lam = f", lambda {run.lam:g}" if self.grid(run.method) != (0.0,) else ""
        lam += "".join(f", {part.replace('=', ' ')}" for part in run.tuned.split(":") if part)
        return (
            f"{run.dataset} {run.rate:g} %, {run.source}, {run.method}{mix}{lam}, seed {run.seed}"
        )
