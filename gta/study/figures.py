"""What a config says of table 4 and of the figures; it decides no training run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gta.catalog import DATASETS, PROTOCOLS, Protocol
from gta.study.values import Name, Strict, distinct, new_names, one_of


class OwnProtocol(Strict):
    """A protocol of the user's; see ``gta.catalog.Protocol``."""

    mass: Annotated[float, Field(gt=0, le=1)]
    heads: Literal["best", "mean"] = "best"
    ignore_void: bool = False
    size: Annotated[int, Field(gt=0)] | None = None


class Segmentation(Strict):
    """Whose masks the models' attention is held against, and how (table 4, figure 3).

    ``dataset`` is that of the masks; None takes each data set's own, in the view of its tests.
    ``lambdas`` measures the runs at all lambdas, or at those alone that accuracy chose. Figure 3
    draws the first protocol.
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
        return value and one_of(value, "data set with masks", masked)

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
    """Which test images a figure shows: how many, drawn by which seed, or by name."""

    images: Annotated[int, Field(gt=0)] = 6
    seed: Annotated[int, Field(ge=0)] = 0
    chosen: dict[Name, Annotated[list[str], Field(min_length=1)]] = {}

    @field_validator("chosen", mode="before")
    @classmethod
    def _drawn(cls, value: Any) -> Any:
        # `chosen: null` goes back to images drawn by the seed
        return {} if value is None else value


class Figures(Pictures):
    """What the figures show, and where one of them shows something else."""

    each: dict[Name, Pictures] = {}

    @field_validator("each", mode="before")
    @classmethod
    def _lifted(cls, value: Any) -> Any:
        # `each: null` in an overlay lifts what the study it is laid over says
        return {} if value is None else value

    def of(self, figure: str) -> Pictures:
        """The settings of one figure."""
        own = self.each.get(figure, Pictures()).model_dump(exclude_unset=True)
        return Pictures(**{**self.model_dump(exclude={"each"}), **own})
