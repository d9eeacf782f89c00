"""What a study's config may say, validated key by key."""

from __future__ import annotations

import re
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
    Lam,
    MethodName,
    Name,
    Rate,
    Seed,
    Share,
    Strict,
    Title,
    as_written,
    distinct,
    new_names,
    one_of,
)

MOST_ITERATIONS = 100_000_000


def _ascending(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError(f"{values[0]:g} to {values[1]:g} is no range")
    return values


NamesGiven = Annotated[list[Name], Field(min_length=1)]
RatesGiven = Annotated[list[Rate], Field(min_length=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(ge=0.001, le=10)]
# owner/model, timm's own model, or owner/model/file; a revision behind it
HUB = r"^(hf[-_]hub:)?([\w.-]+|[\w.-]+/[\w.-]+(/[\w.-]+)*)(@[\w./-]+)?$"
SHA256 = r"^[0-9a-fA-F]{8,64}$"  # whole, or its first digits
Sha256 = Annotated[str, Field(pattern=SHA256), AfterValidator(str.lower)]
Area = Annotated[float, Field(gt=0, le=1)]
AreaRange = Annotated[tuple[Area, Area], AfterValidator(_ascending)]
Ratio = Annotated[float, Field(ge=0.01, le=100)]
RatioRange = Annotated[tuple[Ratio, Ratio], AfterValidator(_ascending)]
# timm reads over what it does not know, so form and bounds are checked here
RANDAUGMENT = r"^rand(-(m|n|p|mstd|mmax|inc)[0-9]+(\.[0-9]+)?)+$"
# least and largest value of each of its options, and whether it is a whole number
RANDAUGMENT_BOUNDS: dict[str, tuple[int, int, bool]] = {
    "m": (0, 30, True),
    "n": (1, 16, True),
    "p": (0, 1, False),
    "mstd": (0, 1000, False),
    "mmax": (1, 30, True),
    "inc": (0, 1, True),
}


def _randaugment(policy: str) -> str:
    """The policy, if timm can read all of its options; else a ValueError."""
    options = [re.match(r"([a-z]+)(.*)", part) for part in policy.split("-")[1:]]
    names = [option[1] for option in options if option]
    if len({*names}) != len(names):
        raise ValueError(f"{policy!r} gives an option twice")
    for option in filter(None, options):
        least, most, whole = RANDAUGMENT_BOUNDS[option[1]]
        if (whole and "." in option[2]) or not least <= float(option[2]) <= most:
            number = "a whole number" if whole else "a number"
            raise ValueError(f"{policy!r}: {option[1]} is {number} from {least} to {most}")
    return policy


RandAugmentPolicy = Annotated[str, Field(pattern=RANDAUGMENT), AfterValidator(_randaugment)]


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
    """Training augmentation, on images of the store (section 4.1; DeiT where silent).

    Attributes:
        crop: ``random_resized_crop`` cuts a box of random area and shape and resizes it;
            ``resize`` brings the whole image to the size; ``none`` takes images as they are.
        scale: least and largest share of the image's area in a random crop.
        ratio: least and largest width over height of a random crop.
        shift: pixels by which an image is moved at most, for ``crop: none``.
        flip: probability of a horizontal flip.
        randaugment: RandAugment in timm's form, as ``rand-m9-mstd0.5-inc1``: magnitude ``m`` (0 to
            30), operations ``n`` (1 to 16), their probability ``p``, the magnitude's standard
            deviation ``mstd``, its upper bound ``mmax`` (default 10), and ``inc1`` for operations
            that grow with it. ``null``: none.
        randaugment_on: where RandAugment is done: on the ``host`` by Pillow, or by torchvision on
            the ``device`` of the model, which interpolates bilinearly.
        interpolation: of resizing.
    """

    crop: Literal["none", "resize", "random_resized_crop"] = "random_resized_crop"
    scale: AreaRange = (0.08, 1.0)
    ratio: RatioRange = (0.75, 1.3333)
    shift: Annotated[int, Field(ge=0, le=1024)] = 0
    flip: Share = 0.5
    randaugment: RandAugmentPolicy | None = None
    # at its default no part of a digest: results from before there was a choice stand
    randaugment_on: Annotated[
        Literal["host", "device"], Field(exclude_if=lambda value: value == "host")
    ] = "host"
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


class Evaluation(Strict):
    """How test images are brought to the model's size: resize, then centre crop.

    Attributes:
        resize: pixels of the shorter side before the crop. ``null``: rendered images are taken as
            they are, photographs are resized to 8/7 of ``image_size``.
        interpolation: of resizing.
    """

    resize: Annotated[int, Field(ge=1, le=8192)] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


class TransMixSettings(Strict):
    """Mixing probabilities and beta parameters of TransMix.

    Attributes:
        mixup: both parameters of Mixup's beta distribution.
        cutmix: both parameters of CutMix's beta distribution.
        switch_prob: probability that a batch gets CutMix, whose labels follow the attention,
            instead of Mixup.
    """

    mixup: Annotated[float, Field(gt=0, le=100)] = 0.8
    cutmix: Annotated[float, Field(gt=0, le=100)] = 1.0
    switch_prob: Share = 0.5


class MixupCutmixSettings(Strict):
    """Mixup and CutMix in turn: alphas of their Beta distributions (0: off) and probabilities.

    The defaults are DeiT's and the list of facebookresearch/dino#81.

    Attributes:
        mixup: both parameters of Mixup's beta distribution; 0: no Mixup.
        cutmix: both parameters of CutMix's beta distribution; 0: no CutMix.
        prob: probability that a batch is mixed.
        switch_prob: probability that a mixed batch gets CutMix instead of Mixup.
    """

    mixup: Annotated[float, Field(ge=0, le=100)] = 0.8
    cutmix: Annotated[float, Field(ge=0, le=100)] = 1.0
    prob: Share = 1.0
    switch_prob: Share = 0.5

    @model_validator(mode="after")
    def _mixes(self) -> MixupCutmixSettings:
        if not self.mixup and not self.cutmix:
            raise ValueError("mixup and cutmix are both 0; use base_mix: none")
        return self


class Recipe(Strict):
    """Every setting of a training run; all but ``COMPUTING`` change its numbers.

    Attributes:
        architecture: the ViT: a name of the catalog, or timm's. May be left out where all sources
            have the same.
        image_size: height and width of the model's input, pixels; a multiple of its patch.
        mean: subtracted from red, green and blue, which lie in 0 to 1.
        std: by which red, green and blue are then divided.
        batch_size: images of a step; even where batches are mixed.
        iterations: steps of training.
        lr: peak learning rate of the backbone (AdamW), which falls along a half cosine.
        head_lr_multiple: learning rate of the head, as a multiple of ``lr``.
        min_lr: learning rate at the end, not above ``lr``.
        warmup_iterations: steps in which the learning rate rises; fewer than ``iterations``.
        layer_decay: factor of the learning rate from a block to the one below it; 1: none.
        warmup_lr: learning rate at the first step, not above ``lr``; ``null``: ``lr`` divided by
            ``warmup_iterations``.
        weight_decay: AdamW's, on weights of more than one dimension.
        betas: AdamW's.
        label_smoothing: share of the label that is spread over all classes.
        drop_path: probability of dropping a block's branch, rising linearly from the first block
            (0) to the last.
        head_init_std: standard deviation of the new head's weights.
        precision: type of the products; weights, moments and penalties are float32.
        tf32: whether a GPU may round float32 products to TF32.
        micro_batch: images whose gradients are taken at once. ``null``: the whole batch; ``auto``:
            halved each time that a GPU runs out of memory.
        channels_last: whether images and the patch embedding are stored channels last.
        compile: whether training uses ``torch.compile``.
        augment: how training images are changed.
        repeated_augmentation: how often each image stands in a batch, changed anew each time.
        evaluation: how test images are brought to ``image_size``.
        base_mix: what ``none`` in a table's ``mix`` means. Runs with ``transmix`` are mixed by it
            alone.
        mixup_cutmix: settings of ``base_mix: mixup_cutmix``: timm's Mixup and CutMix.
        transmix: settings of the mix ``transmix``.
    """

    architecture: str
    image_size: Annotated[int, Field(ge=1, le=4096)]
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    iterations: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)]
    lr: Annotated[float, Field(gt=0, le=100)]
    head_lr_multiple: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    min_lr: Annotated[float, Field(ge=0, le=100)] = 0.0
    warmup_iterations: Annotated[int, Field(ge=0, le=MOST_ITERATIONS)] = 0
    # Keys with `exclude_if` came later: at their defaults they are no part of a digest, so that
    # older results stand.
    layer_decay: Annotated[float, Field(gt=0, le=1, exclude_if=lambda value: value == 1)] = 1.0
    warmup_lr: Annotated[
        Annotated[float, Field(ge=0, le=100)] | None, Field(exclude_if=lambda value: value is None)
    ] = None
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.05
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    label_smoothing: Decay = 0.0
    drop_path: Decay = 0.0
    head_init_std: Annotated[float, Field(ge=0, le=100)] = 0.02
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    tf32: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    micro_batch: Annotated[
        Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] | None, NOTHING
    ] = None
    channels_last: Annotated[bool, NOTHING] = False
    compile: Annotated[bool, NOTHING] = False
    augment: Augment = Augment()
    repeated_augmentation: Annotated[
        int, Field(ge=1, le=100, exclude_if=lambda value: value == 1)
    ] = 1
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
        for key in ("min_lr", "warmup_lr"):
            if (getattr(self, key) or 0) > self.lr:
                raise ValueError(f"{key} must not be above lr")
        if self.augment.shift >= self.image_size:
            raise ValueError("augment.shift must be below image_size")
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
    """Recipe keys for the runs that match every given field; later overrides win.

    Attributes:
        dataset: names; left out: all datasets, and likewise for the other fields.
        rate: percentages.
        source: names.
        method: names.
        mix: names.
        recipe: keys laid over the study's recipe.
    """

    dataset: NamesGiven | None = None
    rate: RatesGiven | None = None
    source: NamesGiven | None = None
    method: Annotated[list[MethodName], Field(min_length=1)] | None = None
    mix: NamesGiven | None = None
    recipe: dict[str, Any]

    def matches(self, run: Run) -> bool:
        """Whether the run has one of the values of every given field."""
        wanted = ((field, values) for field, values in self if field != "recipe")
        return all(values is None or getattr(run, field) in values for field, values in wanted)


class Split(Strict):
    """Which training images a rate keeps and which are held out.

    Attributes:
        kind: ``random``, or ``bss``: the published lists of thuml/Batch-Spectral-Shrinkage.
        seed: ``run``: each run's own; a number: one draw for all seeds.
        heldout: images held out at most, from those that the rate leaves over, where the dataset
            has no held-out split of its own.
    """

    kind: Literal["random", "bss"] = "random"
    seed: Literal["run"] | Seed = "run"
    heldout: Annotated[int, Field(ge=0, le=1_000_000)] = 500


class Tune(Strict):
    """Lambda chosen on some of the seeds; what is chosen runs on all of them.

    Attributes:
        seeds: of the study's ``seeds``, not all.
    """

    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(distinct)]


class Procedural(Strict):
    """The rendered datasets: seed and, for quick trials, size.

    Attributes:
        seed: of all that is rendered.
        train_per_class: training images of each class; ``null``: the dataset's own number.
        heldout_images: held-out images; ``null``: the dataset's own number.
        test_images: test images; ``null``: the dataset's own number.
    """

    seed: Seed = 0
    train_per_class: Annotated[int, Field(ge=1, le=100_000)] | None = None
    heldout_images: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    test_images: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Images(Strict):
    """How photographs are stored, and what a damaged file or another number of them does.

    Attributes:
        short_side: pixels; larger images are shrunk to it when they are prepared. ``null`` keeps
            all.
        damaged: whether an image that cannot be read is an error, or left out.
        counts: ``published``: classes and images must be as many as the paper says.
    """

    short_side: Annotated[int, Field(ge=1, le=8192)] | None = 256
    damaged: Literal["stop", "leave_out"] = "stop"
    counts: Annotated[Literal["published", "any"], NOTHING] = "published"


class OwnSplit(Strict):
    """Test and held-out images drawn from a dataset without splits: percent of each class.

    Attributes:
        test: percent of each class's images to test on.
        heldout: percent of each class's images to hold out.
        seed: of the draw.
    """

    test: Annotated[float, Field(gt=0, lt=100)]
    heldout: Annotated[float, Field(ge=0, lt=100)] = 0.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _some_train(self) -> OwnSplit:
        if self.test + self.heldout >= 100:
            raise ValueError("test and heldout leave no images to train on")
        return self


class OwnDataset(Strict):
    """A dataset of the user's own: a folder ``train/class/image`` or a CSV path, label, split.

    Attributes:
        title: name in tables and figures.
        path: of the folder or the CSV file, relative to the project.
        domain: whether the sources' pre-training data look like it; ``gta data list`` shows it.
        mask_void: value of mask pixels that count as neither object nor background.
        split: how test images are drawn; ``null``: the files have splits.
        duplicates: whether equal files in several splits or classes are an error, or kept.
    """

    title: Annotated[Title, SHOWS]
    path: str
    domain: Annotated[Literal["near", "far"], NOTHING] = "near"
    mask_void: Annotated[int, Field(ge=1, le=255)] | None = None
    split: OwnSplit | None = None
    duplicates: Annotated[Literal["stop", "keep"], NOTHING] = "stop"

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
    """A source of the user's: a file, an address, or a name that timm has on the hub.

    Attributes:
        title: name in tables and figures.
        architecture: the ViT: a name of the catalog, or timm's.
        file: of the checkpoint: a bare name lies in the weights folder, else a path relative to
            the project. One of ``file``, ``url`` and ``hub`` is given.
        url: from which the checkpoint is fetched.
        hub: owner/model, or a model of timm's; ``@revision`` may follow.
        sha256: digest of the file, whole or its first digits.
        key: of the weights in the file, where it holds several sets.
        in_channels: channels of the file's patch embedding that are red, green and blue.
        heads: attention heads, where the file was trained with another number than the
            architecture's.
    """

    title: Annotated[Title, SHOWS]
    architecture: str
    file: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^?#]+/[^/?#]+(\?[^#]*)?$")] | None = None
    hub: Annotated[str, Field(pattern=HUB)] | None = None
    sha256: Sha256 | None = None
    key: str | None = None
    in_channels: tuple[Annotated[int, Field(ge=0, le=1023)], ...] | None = None
    heads: Annotated[int, Field(ge=1, le=1024)] | None = None

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
    """A table on fewer datasets or rates than the study has.

    Attributes:
        datasets: those that it keeps; left out: all.
        rates: those that it keeps; left out: all.
    """

    datasets: NamesGiven | None = None
    rates: RatesGiven | None = None


Grid = Annotated[list[Lam], Field(min_length=1), AfterValidator(distinct)]


LearningRates = Annotated[
    list[Annotated[float, Field(gt=0, le=100), AfterValidator(as_written)]],
    Field(min_length=1),
    AfterValidator(distinct),
]


class MethodSettings(Strict):
    """What to try with a method; its own settings are added from its class's fields.

    Attributes:
        grid: λ to try; left out: the method's own grid.
        lr: learning rates to try, in place of the recipe's; chosen with λ by the same rules.
    """

    grid: Annotated[Grid | None, RUNS] = None
    lr: Annotated[LearningRates | None, RUNS] = None


class OwnMethod(Strict):
    """A method of the user's: a Python file; ``gta.methods.Method`` says how to write one.

    ``title`` and ``grid`` override those of the class.

    Attributes:
        file: relative to this config.
        title: name in tables and figures; left out: the class's.
        grid: λ to try; left out: the class's.
    """

    file: str
    title: Annotated[Title | None, SHOWS] = None
    grid: Annotated[Grid | None, RUNS] = None


class OwnKind(Strict):
    """A kind of table or figure of the user's: a Python file.

    ``gta.tables.kinds.TableKind`` and ``gta.figures.kinds.FigureKind`` say how to write one.

    Attributes:
        file: relative to this config.
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
    title: Annotated[Title, SHOWS]
    recipe: dict[str, Any] = {}


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
                one_of(dataset, "data set", _datasets(info))
        return value

    @field_validator("overrides")
    @classmethod
    def _known_overrides(cls, values: list[Override], info: ValidationInfo) -> list[Override]:
        for override in values:
            for field, kind, known in (
                ("dataset", "data set", _datasets(info)),
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
