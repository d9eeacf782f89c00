"""A validated study: its config, its tables and figures, and the runs that they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gta.project import find_config, find_project
from gta.study.check import check
from gta.study.chosen_methods import (
    StudyMethods,
    note_others,
    with_relative_paths,
    with_resolved_paths,
)
from gta.study.config import Config
from gta.study.expand import Cell, expand, requested_specs
from gta.study.faults import Faults
from gta.study.heads import head_run_of
from gta.study.inputs import StudyInputs
from gta.study.jobs import Jobs
from gta.study.kinds import Kind, StudyKinds
from gta.study.load import (
    completed,
    file_of,
    read_configs,
    read_yaml,
    validate,
    with_exponents,
)
from gta.study.overlays import settled_methods, settled_overrides
from gta.study.packs import Pack
from gta.study.points import Point
from gta.study.recipe import Recipe
from gta.study.recipes import RecipeKey, StudyRecipes
from gta.study.run import Run
from gta.study.run_files import RunFiles
from gta.study.tables import Declarations, TableSpec
from gta.study.tuning import Tuning


class Study(StudyInputs):
    """A validated study.

    Attributes:
        files: the config files that it was read from.
        methods: the package's methods and the config's own, with their settings.
        kinds: the package's kinds of tables and figures, and the config's own.
        specs: the tables and figures that it asks for, by name.
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
        self._folder = folder
        self._content = with_resolved_paths(completed(content, files), files)
        faults = Faults()
        with faults.noted():
            config = validate(Config, self._content, files)
        if faults.broken:
            note_others(self._content, files, faults)
            faults.raise_any()
        super().__init__(config, root)
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
        photographs = frozenset(n for n, k in self.dataset_kinds.items() if k != "procedural")
        self._recipes = StudyRecipes(
            self.config, self.files, self.methods, self.specs, self._expanded, photographs
        )
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
    def choice(self) -> dict[Cell, dict[str, Point]]:
        """With ``tune``, the point by rule for each cell that is decided; empty without."""
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
        self._expanded.require(run, self.name)
        return run

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
        """Settings that decide a table's or figure's look, besides its inputs, as JSON values."""
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
        return self._recipes.recipe(run)

    def recipe_key(self, run: Run) -> RecipeKey:
        """Parts that decide a run's recipe."""
        return self._recipes.key(run)

    def digest(self, run: Run) -> str:
        """Digest of all that decides the numbers of a run, but data and source.

        A result whose digest is another is stale. What only places or shows results
        (tables, figures, packs) is left out, so that changing it reruns nothing.
        """
        return self._recipes.digest(run)

    def file_of(self, *keys: str) -> str:
        """The config file that sets a key, for messages."""
        return file_of(keys, self.files)

    @property
    def places_of_specs(self) -> Mapping[str, tuple[str, str]]:
        """File and key of the stanza of each table and figure, for messages."""
        return self._where

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

    # Jobs

    @cached_property
    def jobs(self) -> Jobs:
        """The training jobs, also those that may follow from a choice that is not made yet."""
        later = () if self.tuning is None else self.tuning.later
        return Jobs(self._expanded.sorted_runs(), later, self.config.pack)

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The training jobs of ``runs``."""
        return self.jobs.needed(self.runs)

    def pack(self, wildcards: Mapping[str, str]) -> Pack:
        """The pack with these values of the unpacked fields.

        Raises:
            GtaError: if the study has no such pack.
        """
        return self.jobs.find(wildcards)

    def heads_of(self, pack: Pack) -> list[Run]:
        """The runs of other packs whose heads runs of this one start from."""
        heads = {self.head_run(run) for run in pack.runs} - {None, *pack.runs}
        return sorted(run for run in heads if run is not None)

    # Results

    @property
    def folder(self) -> Path:
        """The study's results folder."""
        return self._folder or self.root / "results" / self.name

    def run_files(self, run: Run) -> RunFiles:
        """The files of a run.

        Raises:
            GtaError: if the run is not one of the study's.
        """
        keeps, job = self.keeps_weights(run), self.jobs.name_of(run)
        return RunFiles(run, self.folder, self.digest(run), keeps, job)

    def title(self, run: Run) -> str:
        """A run in words, for messages."""
        mix = "" if run.mix == "none" else f" + {run.mix}"
        lam = f", lambda {run.lam:g}" if self.grid(run.method) != (0.0,) else ""
        lam += "".join(f", {part.replace('=', ' ')}" for part in run.tuned.split(":") if part)
        return (
            f"{run.dataset} {run.rate:g} %, {run.source}, {run.method}{mix}{lam}, seed {run.seed}"
        )
