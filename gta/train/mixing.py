"""Mixing images and labels within a batch: none, Mixup and CutMix, or TransMix."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gta.errors import GtaError
from gta.methods.readings import Readings, TapRequest


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows top to bottom - 1, columns left to right - 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Mixed:
    """A batch in which image i holds a part of image B - 1 - i, or a part of that batch.

    Attributes:
        images: (B, C, H, W), what the model sees.
        labels: (B,) int64, of each image.
        partners: (B,) int64, of what each was mixed with.
        share: the partner's part in the image: of its area where a box is pasted, else of each
            pixel's value.
        box: where the partner is pasted, None where the images are blended or left alone.
    """

    images: Tensor
    labels: Tensor
    partners: Tensor
    share: float
    box: Box | None = None

    def part(self, images: slice) -> Mixed:
        """The batch restricted to some images; what was mixed into them stays."""
        return replace(
            self,
            images=self.images[images],
            labels=self.labels[images],
            partners=self.partners[images],
        )


@dataclass(frozen=True)
class Mix:
    """A way of mixing a batch and its labels; this base class leaves both as they are.

    ::

        mixed = mix(images, labels, generator)
        logits = model(mixed.images)
        loss = mix.cross_entropy(logits, mixed, readings)

    Attributes:
        name: key in configs and run names.
        taps: what to read from the target for the labels, None for nothing.
    """

    name: ClassVar[str]
    taps: ClassVar[TapRequest | None] = None

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Mixed:
        """The batch to train on.

        Args:
            images: (B, C, H, W), normalised.
            labels: (B,) int64.
            generator: the source of all randomness, on the CPU.
        """
        return Mixed(images, labels, labels, share=0.0)

    def cross_entropy(
        self,
        logits: Tensor,
        mixed: Mixed,
        readings: Readings | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Mean cross entropy in float32, a scalar.

        Args:
            logits: (B, K).
            mixed: what the logits were computed from.
            readings: what the target showed on ``mixed.images``, where ``taps`` asks for some.
            label_smoothing: share of each label that is spread over all K classes.
        """
        return F.cross_entropy(logits.float(), mixed.labels, label_smoothing=label_smoothing)


@dataclass(frozen=True)
class NoMix(Mix):
    """Images and labels as they are."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class TransMix(Mix):
    """CutMix whose label weights follow the [cls] attention, in turn with mixup.

    After Mixup_transmix of Beckschen/TransMix: one draw a batch, each image with its partner in the
    flipped batch. With a box of the area share s, pasted from the partner (label y2) on the image
    (label y1), the target is y1 (1 - lam) + y2 lam with lam = (s + t) / 2, where t is the box's
    share of the attention of [cls] on the patches: of the last block, after the softmax, mean over
    heads, of the target's own forward pass, without gradient. With mixup it is y1 (1 - s) + y2 s.

    Attributes:
        mixup: alpha of the Beta distribution of mixup's weight.
        cutmix: alpha of the Beta distribution of the box's area.
        switch_prob: probability of the box. The authors' config means 0.8, but its key is
            misspelt, so that their code runs with its default, 0.5.
    """

    name: ClassVar[str] = "transmix"
    taps: ClassVar[TapRequest | None] = TapRequest(cls_attention=(-1,))

    mixup: float = 0.8
    cutmix: float = 1.0
    switch_prob: float = 0.5

    def __post_init__(self) -> None:
        if self.mixup <= 0 or self.cutmix <= 0:
            raise GtaError("mix transmix: mixup and cutmix must be above 0")
        if not 0 <= self.switch_prob <= 1:
            raise GtaError(f"mix transmix: switch_prob must be in [0, 1], not {self.switch_prob}")

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Mixed:
        """As ``Mix``; takes one number from ``generator``.

        Raises:
            GtaError: the batch is odd, so that one image has no partner.
        """
        random = _draws_for(self.name, images, generator)
        partners = labels.flip(0)
        if random.random() < self.switch_prob:
            height, width = images.shape[-2:]
            box = _random_box(height, width, random.beta(self.cutmix, self.cutmix), random)
            return Mixed(_pasted(images, box), labels, partners, box.area / (height * width), box)
        share = random.beta(self.mixup, self.mixup)
        return Mixed(images * (1 - share) + images.flip(0) * share, labels, partners, share)

    def targets(self, mixed: Mixed, classes: int, readings: Readings | None) -> Tensor:
        """Label weights (B, K), float32; rows sum to one.

        Args:
            mixed: the batch.
            classes: K.
            readings: of the target on ``mixed.images``, with ``cls_attention`` of the last block.

        Raises:
            GtaError: a box was pasted and no attention was read, or the image is not square.
        """
        share: float | Tensor = mixed.share
        if mixed.box is not None:
            if readings is None or readings.cls_attention is None:
                raise GtaError("mix transmix: a pasted box needs the readings that taps ask for")
            attention = readings.cls_attention[-1]
            seen = _attention_share(attention, mixed.box, *mixed.images.shape[-2:])
            share = ((mixed.share + seen) / 2).unsqueeze(1)
        own = F.one_hot(mixed.labels, classes).float()
        partner = F.one_hot(mixed.partners, classes).float()
        return own * (1 - share) + partner * share

    def cross_entropy(
        self,
        logits: Tensor,
        mixed: Mixed,
        readings: Readings | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """As ``Mix``, with the weights of ``targets``.

        Raises:
            GtaError: as ``targets``.
        """
        weights = self.targets(mixed, logits.shape[1], readings)
        return F.cross_entropy(logits.float(), weights, label_smoothing=label_smoothing)


@dataclass(frozen=True)
class MixupCutmix(Mix):
    """Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) in turn.

    As ``timm.data.Mixup`` with ``mode="batch"`` and ``correct_lam=True``: one draw for a batch,
    each image with its partner in the flipped batch, labels by the share of the pixels.

    Attributes:
        mixup: alpha of the Beta distribution of Mixup's weight; 0 leaves CutMix alone.
        cutmix: alpha of the Beta distribution of the part of the image that is kept; 0 leaves
            Mixup alone.
        prob: probability that a batch is mixed at all.
        switch_prob: probability of CutMix where both are on.
    """

    name: ClassVar[str] = "mixup_cutmix"

    mixup: float = 0.8
    cutmix: float = 1.0
    prob: float = 1.0
    switch_prob: float = 0.5

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Mixed:
        """As ``Mix``; takes one number from ``generator``.

        Raises:
            GtaError: the batch is odd, so that one image has no partner.
        """
        random = _draws_for(self.name, images, generator)
        partners = labels.flip(0)
        if random.random() >= self.prob:
            return Mixed(images, labels, partners, share=0.0)
        both = self.mixup > 0 and self.cutmix > 0
        use_cutmix = random.random() < self.switch_prob if both else self.cutmix > 0
        alpha = self.cutmix if use_cutmix else self.mixup
        share = 1 - random.beta(alpha, alpha)
        if not use_cutmix:
            return Mixed(images * (1 - share) + images.flip(0) * share, labels, partners, share)
        height, width = images.shape[-2:]
        box = _timm_box(height, width, share, random)
        return Mixed(_pasted(images, box), labels, partners, box.area / (height * width), box)

    def cross_entropy(
        self,
        logits: Tensor,
        mixed: Mixed,
        readings: Readings | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """As ``Mix``, each label weighted by its share of the pixels."""
        own = F.one_hot(mixed.labels, logits.shape[1]).float()
        partner = F.one_hot(mixed.partners, logits.shape[1]).float()
        weights = own * (1 - mixed.share) + partner * mixed.share
        return F.cross_entropy(logits.float(), weights, label_smoothing=label_smoothing)


MIXES: MappingProxyType[str, type[Mix]] = MappingProxyType(
    {mix.name: mix for mix in (NoMix, MixupCutmix, TransMix)}
)


def _draws_for(name: str, images: Tensor, generator: torch.Generator) -> np.random.Generator:
    """The source of a batch's draws; takes one number from ``generator``.

    Generators of torch draw no Beta; numpy's, seeded here, leaves one state to save.

    Raises:
        GtaError: the batch is odd, so that one image has no partner.
    """
    if len(images) % 2:
        raise GtaError(
            f"mix {name}: a batch of {len(images)} images is odd; choose an even batch_size"
        )
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))


def _pasted(images: Tensor, box: Box) -> Tensor:
    """The images, each with the box of its partner in the flipped batch."""
    inside = (..., slice(box.top, box.bottom), slice(box.left, box.right))
    both = images.clone()
    both[inside] = images[inside].flip(0)
    return both


def _timm_box(height: int, width: int, area: float, random: np.random.Generator) -> Box:
    """The box of timm's ``rand_bbox``: as ``_random_box``, but odd sides keep their last pixel."""
    tall, wide = int(height * math.sqrt(area)), int(width * math.sqrt(area))
    row, column = int(random.integers(height)), int(random.integers(width))
    return Box(
        top=max(row - tall // 2, 0),
        bottom=min(row + (tall + 1) // 2, height),
        left=max(column - wide // 2, 0),
        right=min(column + (wide + 1) // 2, width),
    )


def _random_box(height: int, width: int, area: float, random: np.random.Generator) -> Box:
    """CutMix's box: a share ``area`` of the image around a random pixel, cut off at the border."""
    half_height = int(height * math.sqrt(area)) // 2
    half_width = int(width * math.sqrt(area)) // 2
    row, column = int(random.integers(height)), int(random.integers(width))
    return Box(
        top=max(row - half_height, 0),
        bottom=min(row + half_height, height),
        left=max(column - half_width, 0),
        right=min(column + half_width, width),
    )


def _attention_share(attention: Tensor, box: Box, height: int, width: int) -> Tensor:
    """The share (B,) that ``box`` holds of the attention (B, heads, N) on the patches."""
    side = math.isqrt(attention.shape[-1])
    if height != width or side**2 != attention.shape[-1]:
        raise GtaError(f"mix transmix: images must be square, not {height} x {width} pixels")
    # A patch is in the box where its first pixel is: the reference downsamples by nearest.
    first = torch.arange(side, device=attention.device) * height // side
    rows = (box.top <= first) & (first < box.bottom)
    columns = (box.left <= first) & (first < box.right)
    inside = (rows.unsqueeze(1) & columns).flatten()
    weights = attention.detach().mean(dim=1)
    return (weights * inside).sum(dim=1) / weights.sum(dim=1)
