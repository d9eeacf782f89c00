"""The recipe: every setting of a training run."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gta.catalog import (
    ARCHITECTURES,
    find_architecture,
    timm_names,
)
from gta.study.backdoor import Backdoor
from gta.study.values import (
    NOTHING,
    Share,
    Strict,
)

MOST_ITERATIONS = 100_000_000


def _ascending(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError(f"{values[0]:g} to {values[1]:g} is not a range")
    return values


Decay = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(ge=0.001, le=10)]
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


def known_architecture(name: str) -> str:
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
    """Test view: resize, then centre crop.

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
        backdoor: a trigger on some training images, with another label; ``null``: none.
    """

    architecture: str
    image_size: Annotated[int, Field(ge=1, le=4096)]
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    iterations: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)]
    lr: Annotated[float, Field(gt=0, le=1e30)]
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
    backdoor: Annotated[Backdoor | None, Field(exclude_if=lambda value: value is None)] = None

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        return known_architecture(value)

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
        """Mixing of a run's batches: a key of ``MIXES`` and its settings.

        Args:
            mix: of the run; ``none`` stands for the recipe's ``base_mix``.
        """
        name = self.base_mix if mix == "none" else mix
        settings = getattr(self, name, None)
        return name, settings.model_dump() if isinstance(settings, Strict) else {}


# Recipe keys that change memory, speed and rounding, as a device or its threads do: no part of
# a digest, so that what was trained on one machine stands when another needs other values.
COMPUTING = frozenset({"micro_batch", "channels_last", "compile"})
