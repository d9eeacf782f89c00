"""What a study's config may say, validated key by key."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gta.catalog import (
    ARCHITECTURES,
    DATASETS,
    MIXES,
    SOURCES,
    Archive,
    DatasetInfo,
    Drawn,
    SourceInfo,
    find_architecture,
    timm_names,
)
from gta.methods import METHODS
from gta.study.figures import Figures, Segmentation
from gta.study.robustness import Robustness
from gta.study.run import RUN_FIELDS, Run
from gta.study.tables import TableSpec
from gta.study.values import Lam, Name, Rate, Strict, Title, distinct, new_names, one_of


def _ascending(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError(f"{values[0]:g} to {values[1]:g} is no range")
    return values


Positive = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
# owner/model, timm's own model, or owner/model/file; a revision behind it
_HUB = r"^(hf[-_]hub:)?([\w.-]+|[\w.-]+/[\w.-]+(/[\w.-]+)*)(@[\w./-]+)?$"
# whole, or its first digits
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8,64}$"), AfterValidator(str.lower)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]


def _architecture(name: str) -> str:
    """The name, if it is one of the catalog or of timm; else a ValueError with the nearest."""
    if find_architecture(name) is None:
        near = get_close_matches(name, [*ARCHITECTURES, *timm_names()], n=3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"there is no architecture {name!r}; known: {', '.join(ARCHITECTURES)}, and timm's "
            f"ViTs by their names{meant}"
        )
    return name


class Augment(Strict):
    """Training augmentation, on images of the store (section 4.1; DeiT where silent)."""

    crop: Literal["none", "resize", "random_resized_crop"] = "random_resized_crop"
    scale: Range = (0.08, 1.0)
    ratio: Range = (0.75, 1.3333)
    shift: Annotated[int, Field(ge=0)] = 0
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    # timm reads over what it does not know, so the form is held here
    randaugment: (
        Annotated[str, Field(pattern=r"^rand(-(m|n|p|mstd|mmax|inc)[0-9]+(\.[0-9]+)?)+$")] | None
    ) = None
    # at its default no part of a digest: results from before there was a choice stand
    randaugment_on: Annotated[
        Literal["host", "device"], Field(exclude_if=lambda value: value == "host")
    ] = "host"
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


class Evaluation(Strict):
    """How test images are brought to the model's size: resize, then centre crop."""

    resize: Annotated[int, Field(gt=0)] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


class TransMixSettings(Strict):
    """Mixing probabilities and beta parameters of TransMix."""

    mixup: Annotated[float, Field(gt=0)] = 0.8
    cutmix: Annotated[float, Field(gt=0)] = 1.0
    switch_prob: Annotated[float, Field(ge=0, le=1)] = 0.5


class MixupCutmixSettings(Strict):
    """Mixup and CutMix in turn: alphas of their Beta distributions (0: off) and probabilities.

    The defaults are DeiT's and the list of facebookresearch/dino#81.
    """

    mixup: Annotated[float, Field(ge=0)] = 0.8
    cutmix: Annotated[float, Field(ge=0)] = 1.0
    prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    switch_prob: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _mixes(self) -> MixupCutmixSettings:
        if not self.mixup and not self.cutmix:
            raise ValueError("mixup and cutmix are both 0; use base_mix: none")
        return self


class Recipe(Strict):
    """Every setting of a training run; all but ``COMPUTING`` change its numbers."""

    architecture: str
    image_size: Annotated[int, Field(gt=0)]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    batch_size: Annotated[int, Field(gt=0)]
    iterations: Annotated[int, Field(gt=0)]
    lr: Annotated[float, Field(gt=0)]
    head_lr_multiple: Annotated[float, Field(gt=0)] = 1.0
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    warmup_iterations: Annotated[int, Field(ge=0)] = 0
    # Keys with `exclude_if` came later: at their defaults they are no part of a digest, so that
    # older results stand.
    layer_decay: Annotated[float, Field(gt=0, le=1, exclude_if=lambda value: value == 1)] = 1.0
    warmup_lr: Annotated[
        Annotated[float, Field(ge=0)] | None, Field(exclude_if=lambda value: value is None)
    ] = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    head_init_std: Annotated[float, Field(ge=0)] = 0.02
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    tf32: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    micro_batch: Annotated[int, Field(gt=0)] | Literal["auto"] | None = None
    channels_last: bool = False
    compile: bool = False
    augment: Augment = Augment()
    repeated_augmentation: Annotated[int, Field(ge=1, exclude_if=lambda value: value == 1)] = 1
    evaluation: Evaluation = Evaluation()
    base_mix: Annotated[
        Literal["none", "mixup_cutmix"], Field(exclude_if=lambda value: value == "none")
    ] = "none"
    mixup_cutmix: MixupCutmixSettings = MixupCutmixSettings()
    transmix: TransMixSettings = TransMixSettings()

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        return _architecture(value)

    @model_validator(mode="after")
    def _keys_fit(self) -> Recipe:
        if self.warmup_iterations >= self.iterations:
            raise ValueError("warmup_iterations must be below iterations")
        if self.evaluation.resize is not None and self.evaluation.resize < self.image_size:
            raise ValueError("evaluation.resize must not be below image_size")
        return self

    def with_test_view(self) -> Recipe:
        """The recipe with a test view for photographs, unless it states one or never crops.

        The shorter side is resized to 8/7 of the image size, as 256 for 224 pixels.
        """
        if self.evaluation.resize is not None or self.augment.crop == "none":
            return self
        view = {"resize": round(self.image_size * 8 / 7)}
        return self.model_copy(update={"evaluation": self.evaluation.model_copy(update=view)})

    def mixing(self, mix: str) -> tuple[str, dict[str, Any]]:
        """How the batches of a run are mixed: a key of ``MIXES`` and its settings.

        Args:
            mix: of the run; ``none`` stands for the recipe's ``base_mix``.
        """
        name = self.base_mix if mix == "none" else mix
        settings = getattr(self, name, None)
        return name, settings.model_dump() if isinstance(settings, Strict) else {}


# Recipe keys that change memory, speed and rounding, as a device or its threads do: no part of
# a digest, so that what was trained on one machine stands when another needs other values.
COMPUTING = frozenset({"micro_batch", "channels_last", "compile"})


class Override(Strict):
    """Recipe keys for the runs that match every given field; later overrides win."""

    dataset: list[Name] | None = None
    rate: list[Rate] | None = None
    source: list[Name] | None = None
    method: list[Name] | None = None
    mix: list[Name] | None = None
    recipe: dict[str, Any]

    def matches(self, run: Run) -> bool:
        """Whether the run has one of the values of every given field."""
        wanted = ((field, values) for field, values in self if field != "recipe")
        return all(values is None or getattr(run, field) in values for field, values in wanted)


class Split(Strict):
    """Which training images a rate keeps and which are held out."""

    kind: Literal["random", "bss"] = "random"
    seed: Literal["run"] | Annotated[int, Field(ge=0)] = "run"
    heldout: Annotated[int, Field(ge=0)] = 500


class Procedural(Strict):
    """The rendered data sets: seed and, for quick trials, size."""

    seed: Annotated[int, Field(ge=0)] = 0
    train_per_class: Annotated[int, Field(gt=0)] | None = None
    heldout_images: Annotated[int, Field(gt=0)] | None = None
    test_images: Annotated[int, Field(gt=0)] | None = None


class Images(Strict):
    """How photographs are stored, and what a damaged file or another number of them does."""

    short_side: Annotated[int, Field(gt=0)] | None = 256
    damaged: Literal["stop", "leave_out"] = "stop"
    counts: Literal["published", "any"] = "published"


class OwnSplit(Strict):
    """Test and held-out images drawn from a dataset without splits: percent of each class."""

    test: Annotated[float, Field(gt=0, lt=100)]
    heldout: Annotated[float, Field(ge=0, lt=100)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _some_train(self) -> OwnSplit:
        if self.test + self.heldout >= 100:
            raise ValueError("test and heldout leave no images to train on")
        return self


class OwnDataset(Strict):
    """A dataset of the user's own: a folder ``train/class/image`` or a CSV path, label, split."""

    title: Title
    path: str
    domain: Literal["near", "far"] = "near"
    mask_void: Annotated[int, Field(ge=1, le=255)] | None = None
    split: OwnSplit | None = None
    duplicates: Literal["stop", "keep"] = "stop"

    @property
    def info(self) -> DatasetInfo:
        """The dataset as a catalog entry."""
        return DatasetInfo(
            self.title,
            "images",
            self.domain,
            reader="folder",
            folder=self.path,
            mask_void=self.mask_void,
            drawn=None if self.split is None else Drawn(**self.split.model_dump()),
            keeps_duplicates=self.duplicates == "keep",
        )


class OwnSource(Strict):
    """A source of the user's: a file, an address, or a name that timm has on the hub."""

    title: Title
    architecture: str
    file: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^?#]+/[^/?#]+(\?[^#]*)?$")] | None = None
    hub: Annotated[str, Field(pattern=_HUB)] | None = None
    sha256: Sha256 | None = None
    key: str | None = None
    in_channels: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    heads: Annotated[int, Field(gt=0)] | None = None

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        return _architecture(value)

    @model_validator(mode="after")
    def _one_origin(self) -> OwnSource:
        if sum(origin is not None for origin in (self.file, self.url, self.hub)) != 1:
            raise ValueError("give one of file, url, hub")
        if self.hub is not None and self.sha256 is not None:
            raise ValueError("sha256: the hub names the digest itself")
        return self

    @property
    def info(self) -> SourceInfo:
        """What the catalog would say of it."""
        archive = None
        if self.file is not None:
            archive = Archive(self.file, sha256=self.sha256, own=True)
        elif self.url is not None:
            archive = Archive(_file_name(self.url), (self.url,), sha256=self.sha256, own=True)
        return SourceInfo(
            self.title,
            self.architecture,
            "the user's own",
            archive=archive,
            hub=self.hub,
            key=self.key,
            in_channels=self.in_channels,
            heads=self.heads,
        )


def _file_name(url: str) -> str:
    """The file's name in an address, which may end in a query such as ``?download=true``."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


class Restriction(Strict):
    """A table on fewer data sets or rates than the study has."""

    datasets: list[Name] | None = None
    rates: list[Rate] | None = None


Grid = Annotated[list[Lam], Field(min_length=1), AfterValidator(distinct)]


class MethodSettings(Strict):
    """Lambdas to try with a method; its own settings are added from its class's fields."""

    grid: Grid | None = None


class OwnMethod(Strict):
    """A method of the user's: a Python file; ``gta.methods.Method`` says how to write one.

    ``title`` and ``grid`` override those of the class.
    """

    file: str
    title: Title | None = None
    grid: Grid | None = None


class OwnKind(Strict):
    """A kind of table or figure of the user's: a Python file.

    ``gta.tables.kinds.TableKind`` and ``gta.figures.kinds.FigureKind`` say how to write one.
    """

    file: str


class Variant(Strict):
    """A method under another name, with recipe keys of its own.

    Attributes:
        of: the method, one of the package's or of ``own_methods``.
        title: name in tables and figures.
        recipe: keys laid over the study's recipe and its overrides.
    """

    of: Name
    title: str
    recipe: dict[str, Any] = {}


class Config(Strict):
    """A whole study, as its YAML file says it."""

    study: Name
    own_datasets: dict[Name, OwnDataset] = {}
    own_sources: dict[Name, OwnSource] = {}
    own_methods: dict[Name, OwnMethod] = {}
    variants: dict[Name, Variant] = {}
    own_kinds: dict[Name, OwnKind] = {}
    own_tables: dict[Name, TableSpec] = {}
    own_figures: dict[Name, TableSpec] = {}
    digests: dict[str, Sha256] = {}
    architectures: dict[Name, str] = {}
    datasets: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
    rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct)]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)
    ]
    sources: Annotated[dict[Name, Name], Field(min_length=1)]
    methods: dict[Name, dict[str, Any] | None] = {}
    extra_methods: Annotated[list[Name], AfterValidator(distinct)] = []
    recipe: Recipe
    recipe_sources: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    overrides: list[Override] = []
    split: Split = Split()
    procedural: Procedural = Procedural()
    images: Images = Images()
    heldout_every: Annotated[int, Field(ge=0)] = 0
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 300.0
    threads: Annotated[int, Field(gt=0)] = 1
    pack: Annotated[list[Name], AfterValidator(distinct)] = []
    tables: Annotated[list[Name], AfterValidator(distinct)]
    figures: Annotated[list[Name], AfterValidator(distinct)] = []
    restrict: dict[Name, Restriction] = {}
    tables_file: str = "config/tables.yaml"
    keep_weights: Literal["none", "figures", "all"] = "figures"
    figure_settings: Figures = Figures()
    segmentation: Segmentation = Segmentation()
    robustness: Robustness = Robustness()

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

    @field_validator("restrict", mode="before")
    @classmethod
    def _lifted(cls, value: Any) -> Any:
        # `restrict: null` in an overlay lifts the restrictions of the study it is laid over
        return {} if value is None else value

    @field_validator("own_datasets")
    @classmethod
    def _new_datasets(cls, values: dict[str, OwnDataset]) -> dict[str, OwnDataset]:
        return new_names(values, "data set", DATASETS)

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
            _architecture(architecture)
        return values

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return [one_of(value, "data set", _datasets(info)) for value in values]

    @field_validator("sources")
    @classmethod
    def _known_sources(cls, values: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return {role: one_of(value, "source", _sources(info)) for role, value in values.items()}

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in values:
            one_of(name, "method", _methods(info))
        return values

    @field_validator("extra_methods")
    @classmethod
    def _known_extra_methods(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return [one_of(value, "method", _methods(info)) for value in values]

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
                one_of(dataset, "data set", _datasets(info))
        return value

    @field_validator("overrides")
    @classmethod
    def _known_overrides(cls, values: list[Override], info: ValidationInfo) -> list[Override]:
        for override in values:
            for field, kind, known in (
                ("dataset", "data set", _datasets(info)),
                ("source", "source", _sources(info)),
                ("method", "method", _methods(info)),
                ("mix", "mix", MIXES),
            ):
                for value in getattr(override, field) or ():
                    one_of(value, kind, known)
        return values


def _datasets(info: ValidationInfo) -> dict[str, Any]:
    return {**DATASETS, **info.data.get("own_datasets", {})}


def _sources(info: ValidationInfo) -> dict[str, Any]:
    return {**SOURCES, **info.data.get("own_sources", {})}


def _methods(info: ValidationInfo) -> list[str]:
    return [*METHODS, *info.data.get("own_methods", {}), *info.data.get("variants", {})]
