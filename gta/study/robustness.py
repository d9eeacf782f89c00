"""The settings of tests on corrupted images; they decide no training run."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from gta.catalog import CORRUPTIONS
from gta.study.values import Name, Seed, Strict, distinct, one_of

Severity = Annotated[int, Field(ge=1, le=5)]


class Robustness(Strict):
    """Choice of corruptions of the test images.

    Attributes:
        corruptions: of ``gta.catalog.CORRUPTIONS``; default all.
        severities: of each corruption, 1 to 5.
        images: test images of each dataset, evenly over the set; ``null`` takes all.
        seed: of the corruptions' random numbers.
    """

    corruptions: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)] = [
        *CORRUPTIONS
    ]
    severities: Annotated[list[Severity], Field(min_length=1), AfterValidator(distinct)] = [
        *range(1, 6)
    ]
    images: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    seed: Seed = 0

    @field_validator("corruptions")
    @classmethod
    def _known(cls, values: list[str]) -> list[str]:
        return [one_of(value, "corruption", CORRUPTIONS) for value in values]

    @property
    def views(self) -> list[tuple[str, int]]:
        """Corruption and severity of each pass over the test images, the clean ones first."""
        corrupted = [(name, level) for name in self.corruptions for level in self.severities]
        return [("none", 0), *corrupted]
