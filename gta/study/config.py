"""A study's whole config, and checks of the names in it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gta.catalog import (
    DATASETS,
    MIXES,
    SOURCES,
)
from gta.methods import METHODS
from gta.study.figures import Figures, Segmentation
from gta.study.own import OwnDataset, OwnKind, OwnMethod, OwnSource, Sha256, Variant
from gta.study.recipe import MOST_ITERATIONS, Recipe, known_architecture
from gta.study.robustness import Robustness
from gta.study.run import RUN_FIELDS
from gta.study.sections import (
    Images,
    Override,
    Procedural,
    Reference,
    Restriction,
    Split,
    Tune,
)
from gta.study.tables import TableSpec
from gta.study.values import (
    DATA,
    LIFTED,
    MEASURES,
    NOTHING,
    RESULTS,
    RUNS,
    SHOWS,
    SOURCE,
    TRAINS,
    WEIGHTS,
    MethodName,
    Name,
    Rate,
    Seed,
    Strict,
    distinct,
    new_names,
    one_of,
)


class Config(Strict):
    """A whole study, as its YAML file says it.

    Attributes:
        study: name, and that of its folder in ``results``.
        own_datasets: datasets that the catalog lacks.
        own_sources: sources that the catalog lacks.
        own_methods: methods of the user's own, each in a Python file. Name them in
            ``extra_methods`` too, so that they join the tables of methods.
        variants: methods under another name, with recipe keys of their own.
        own_kinds: kinds of tables and figures of the user's own, each in a Python file.
        own_tables: stanzas of tables, as in ``tables.yaml``; made without being named in
            ``tables``.
        own_figures: stanzas of figures, as in ``tables.yaml``; made without being named in
            ``figures``.
        digests: SHA-256 by file, whole or its first digits, that an archive is held to in place of
            the published digest.
        architectures: which model a source of the catalog is, in place of the published one.
        datasets: names of the catalog or of ``own_datasets``.
        rates: percent of the training images of each class: ``ceil(n_c * rate / 100)``.
        seeds: of head, order, augmentation and, with ``split.seed: run``, subset.
        tune: lambda chosen, by both rules, on some of the ``seeds``; what is chosen runs on all.
            Left out: chosen on all.
        sources: the source in each role that tables name: ``main``, ``other_ssl``,
            ``supervised``.
        methods: which methods run, as a list of names, or as names with their settings and grids.
            Left out: all that the tables name.
        extra_methods: methods that join the tables that are open to them (``extra: true``), as
            ``linear_probe``.
        recipe: every training setting.
        recipe_sources: where each choice comes from, as keys of ``recipe``; stands under the
            tables.
        overrides: recipe keys for the runs that match.
        split: which training images a rate keeps and which are held out.
        procedural: seed and size of the rendered datasets.
        images: how photographs are stored.
        heldout_every: iterations between measurements of held-out accuracy during training; 0:
            none.
        checkpoint_seconds: between checkpoints of a training job.
        threads: CPU threads of a training job.
        pack: fields of a run that share one job, whose runs train on the same batches; none: a
            job a run.
        tables: names of tables to make.
        figures: names of figures to make.
        restrict: tables and figures on fewer datasets or rates; ``null`` in an overlay lifts all.
        tables_file: where tables and figures are declared.
        reference: a study in place of the paper in tables of accuracies; differences of recipe and
            data are said. Left out: the paper.
        keep_weights: which trained weights are kept: ``none``, those that tables and ``figures``
            need, or ``all``.
        figure_settings: which images figures show.
        segmentation: how the models' attention is compared with object masks.
        robustness: which corruptions of test images models are tested on.
    """

    study: Annotated[Name, RESULTS]
    own_datasets: Annotated[dict[Name, OwnDataset], DATA] = {}
    own_sources: Annotated[dict[Name, OwnSource], SOURCE] = {}
    own_methods: Annotated[dict[Name, OwnMethod], TRAINS] = {}
    variants: Annotated[dict[Name, Variant], TRAINS] = {}
    own_kinds: Annotated[dict[Name, OwnKind], SHOWS] = {}
    own_tables: Annotated[dict[Name, TableSpec], RUNS] = {}
    own_figures: Annotated[dict[Name, TableSpec], RUNS] = {}
    digests: Annotated[dict[str, Sha256], DATA] = {}
    architectures: Annotated[dict[Name, str], SOURCE] = {}
    datasets: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct), RUNS]
    rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct), RUNS]
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(distinct), RUNS]
    tune: Annotated[Tune | None, RUNS] = None
    sources: Annotated[dict[Name, Name], Field(min_length=1), RUNS]
    methods: Annotated[dict[MethodName, dict[str, Any] | None], TRAINS] = {}
    extra_methods: Annotated[list[MethodName], AfterValidator(distinct), RUNS] = []
    recipe: Annotated[Recipe, TRAINS]
    recipe_sources: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], SHOWS] = {}
    overrides: Annotated[list[Override], TRAINS] = []
    split: Annotated[Split, TRAINS] = Split()
    procedural: Annotated[Procedural, DATA] = Procedural()
    images: Annotated[Images, DATA] = Images()
    heldout_every: Annotated[int, Field(ge=0, le=MOST_ITERATIONS), NOTHING] = 0
    checkpoint_seconds: Annotated[float, Field(gt=0, le=2_592_000), NOTHING] = 300.0
    threads: Annotated[int, Field(ge=1, le=1024), NOTHING] = 1
    pack: Annotated[list[Name], AfterValidator(distinct), NOTHING] = []
    tables: Annotated[list[Name], AfterValidator(distinct), RUNS]
    figures: Annotated[list[Name], AfterValidator(distinct), RUNS] = []
    restrict: Annotated[dict[Name, Restriction], LIFTED, RUNS] = {}
    tables_file: Annotated[str, RUNS] = "config/tables.yaml"
    reference: Annotated[Reference | None, SHOWS] = None
    keep_weights: Annotated[Literal["none", "figures", "all"], WEIGHTS] = "figures"
    figure_settings: Annotated[Figures, SHOWS] = Figures()
    segmentation: Annotated[Segmentation, MEASURES] = Segmentation()
    robustness: Annotated[Robustness, MEASURES] = Robustness()

    @field_validator("tune")
    @classmethod
    def _some_seeds(cls, value: Tune | None, info: ValidationInfo) -> Tune | None:
        seeds = info.data.get("seeds", [])
        for seed in value.seeds if value is not None else ():
            one_of(str(seed), "seed of the study", map(str, seeds))
        if value is not None and len(value.seeds) == len(seeds):
            raise ValueError("names all seeds; leave `tune` out, or leave one of the seeds out")
        return value

    @field_validator("recipe_sources")
    @classmethod
    def _of_recipe_keys(cls, values: dict[str, list[str]]) -> dict[str, list[str]]:
        for keys in values.values():
            for key in keys:
                section, _, inner = key.partition(".")
                one_of(section, "key of recipe", Recipe.model_fields)
                if inner:
                    model = Recipe.model_fields[section].annotation
                    one_of(inner, f"key of recipe.{section}", getattr(model, "model_fields", ()))
        return values

    @field_validator("own_datasets")
    @classmethod
    def _new_datasets(cls, values: dict[str, OwnDataset]) -> dict[str, OwnDataset]:
        return new_names(values, "dataset", DATASETS)

    @field_validator("own_sources")
    @classmethod
    def _new_sources(cls, values: dict[str, OwnSource]) -> dict[str, OwnSource]:
        return new_names(values, "source", SOURCES)

    @field_validator("own_methods")
    @classmethod
    def _new_methods(cls, values: dict[str, OwnMethod]) -> dict[str, OwnMethod]:
        for name in values:
            if name in METHODS:
                raise ValueError(f"{name!r} is a method of the package; choose another name")
        return values

    @field_validator("variants")
    @classmethod
    def _of_methods(cls, values: dict[str, Variant], info: ValidationInfo) -> dict[str, Variant]:
        methods = _methods(info)
        for name, variant in values.items():
            if name in methods:
                raise ValueError(f"{name!r} is a method; choose another name")
            one_of(variant.of, "method", methods)
        return values

    @field_validator("architectures")
    @classmethod
    def _known_architectures(cls, values: dict[str, str]) -> dict[str, str]:
        for source, architecture in values.items():
            one_of(source, "source of the catalog", SOURCES)
            known_architecture(architecture)
        return values

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return [one_of(value, "dataset", _datasets(info)) for value in values]

    @field_validator("sources")
    @classmethod
    def _known_sources(cls, values: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return {role: one_of(value, "source", _sources(info)) for role, value in values.items()}

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in values:
            for part in name.split("+"):
                one_of(part, "method", _methods(info))
        return values

    @field_validator("extra_methods")
    @classmethod
    def _known_extra_methods(cls, values: list[str], info: ValidationInfo) -> list[str]:
        for name in values:
            for part in name.split("+"):
                one_of(part, "method", _methods(info))
        return values

    @field_validator("pack")
    @classmethod
    def _known_fields(cls, values: list[str]) -> list[str]:
        return [one_of(value, "field of a run", RUN_FIELDS) for value in values]

    @field_validator("figure_settings")
    @classmethod
    def _known_figures(cls, value: Figures, info: ValidationInfo) -> Figures:
        figures = [*info.data.get("figures", ()), *info.data.get("own_figures", ())]
        for figure in value.each:
            one_of(figure, "figure", figures)
        for pictures in (value, *value.each.values()):
            for dataset in pictures.chosen:
                one_of(dataset, "dataset", _datasets(info))
        return value

    @field_validator("overrides")
    @classmethod
    def _known_overrides(cls, values: list[Override], info: ValidationInfo) -> list[Override]:
        for override in values:
            for field, kind, known in (
                ("dataset", "dataset", _datasets(info)),
                ("source", "source", _sources(info)),
                ("method", "method", [*_methods(info), *_combinations(info)]),
                ("mix", "mix", MIXES),
            ):
                for value in getattr(override, field) or ():
                    one_of(value, kind, known)
        return values


def _datasets(info: ValidationInfo) -> dict[str, Any]:
    return {**DATASETS, **info.data.get("own_datasets", {})}


def _sources(info: ValidationInfo) -> dict[str, Any]:
    return {**SOURCES, **info.data.get("own_sources", {})}


def _combinations(info: ValidationInfo) -> list[str]:
    named = [*info.data.get("methods", {}), *info.data.get("extra_methods", ())]
    return [name for name in named if "+" in name]


def _methods(info: ValidationInfo) -> list[str]:
    return [*METHODS, *info.data.get("own_methods", {}), *info.data.get("variants", {})]
