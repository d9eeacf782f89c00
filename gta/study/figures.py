"""Config sections for table 4 and the figures; they decide no training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gta.catalog import DATASETS, PROTOCOLS, Protocol
from gta.study.values import LIFTED, Name, Seed, Strict, distinct, new_names, one_of


class OwnProtocol(Strict):
    """A protocol of the user's; see ``gta.catalog.Protocol``.

    Attributes:
        mass: share of the attention that the chosen patches hold.
        heads: ``best``: the head with the best Jaccard index of each image; ``mean``: the mean
            over heads of the attention.
        ignore_void: whether void pixels are left out; else they count as background.
        size: height and width, pixels, that images and masks are resized to; ``null``: the view of
            the tests.
    """

    mass: Annotated[float, Field(gt=0, le=1)]
    heads: Literal["best", "mean"] = "best"
    ignore_void: bool = False
    size: Annotated[int, Field(ge=1, le=4096)] | None = None


class Segmentation(Strict):
    """Whose masks the models' attention is compared with, and how (table 4, figure 3).

    Attributes:
        dataset: whose masks: ``voc12``, for example; ``null``: each dataset's own, in the view of
            its tests.
        own_protocols: protocols of the user's own.
        protocols: ``sar``, ``ipvit``, each also ``…_without_void`` (void pixels are left out,
            where the public code counts them as background), or own ones. Figure 3 draws the
            first.
        lambdas: whether runs at ``all`` λ are measured, or at the ``chosen`` ones alone.
    """

    dataset: Name | None = None
    own_protocols: dict[Name, OwnProtocol] = {}
    protocols: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)] = [
        "sar",
        "ipvit",
    ]
    lambdas: Literal["all", "chosen"] = "all"

    @field_validator("dataset")
    @classmethod
    def _masked(cls, value: str | None) -> str | None:
        masked = [name for name, info in DATASETS.items() if info.masks]
        return value and one_of(value, "dataset with masks", masked)

    @field_validator("own_protocols")
    @classmethod
    def _new_protocols(cls, values: dict[str, OwnProtocol]) -> dict[str, OwnProtocol]:
        return new_names(values, "protocol", PROTOCOLS)

    @field_validator("protocols")
    @classmethod
    def _known_protocols(cls, values: list[str], info: ValidationInfo) -> list[str]:
        known = {**PROTOCOLS, **info.data.get("own_protocols", {})}
        return [one_of(value, "protocol", known) for value in values]

    @property
    def measured(self) -> list[Protocol]:
        """The protocols, in the order of ``protocols``."""
        own = {n: Protocol(name=n, **p.model_dump()) for n, p in self.own_protocols.items()}
        return [own[name] if name in own else PROTOCOLS[name] for name in self.protocols]


class Pictures(Strict):
    """Choice of a figure's test images: number and seed, or names.

    Attributes:
        images: how many.
        seed: of the draw.
        chosen: names of images by dataset, as they stand below the images (their last part is
            enough), in place of a draw.
    """

    images: Annotated[int, Field(ge=1, le=100)] = 6
    seed: Seed = 0
    chosen: Annotated[dict[Name, Annotated[list[str], Field(min_length=1)]], LIFTED] = {}


class Figures(Pictures):
    """Settings of the figures, and exceptions for single ones.

    Attributes:
        each: settings of one figure alone, by its name.
    """

    each: Annotated[dict[Name, Pictures], LIFTED] = {}

    def of(self, figure: str) -> Pictures:
        """The settings of one figure."""
        own = self.each.get(figure, Pictures()).model_dump(exclude_unset=True)
        return Pictures(**{**self.model_dump(exclude={"each"}), **own})
