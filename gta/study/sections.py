"""Sections of a config: overrides, splits, and how images are made and stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gta.study.run import Run
from gta.study.values import (
    NOTHING,
    MethodName,
    Name,
    Rate,
    Seed,
    Strict,
    Title,
    distinct,
)

NamesGiven = Annotated[list[Name], Field(min_length=1)]
RatesGiven = Annotated[list[Rate], Field(min_length=1)]


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
    """Selection of training and held-out images.

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


class Reference(Strict):
    """A study whose numbers stand beside the study's own, in place of the paper's.

    Attributes:
        study: its results folder, as ``results/other``.
    """

    study: Title


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
    """Storage of photographs, and the reaction to damaged files or another number of them.

    Attributes:
        short_side: pixels; larger images are shrunk to it when they are prepared. ``null`` keeps
            all.
        damaged: whether an image that cannot be read is an error, or left out.
        counts: ``published``: classes and images must be as many as the paper says.
    """

    short_side: Annotated[int, Field(ge=1, le=8192)] | None = 256
    damaged: Literal["stop", "leave_out"] = "stop"
    counts: Annotated[Literal["published", "any"], NOTHING] = "published"


class Restriction(Strict):
    """A table on fewer datasets or rates than the study has.

    Attributes:
        datasets: those that it keeps; left out: all.
        rates: those that it keeps; left out: all.
    """

    datasets: NamesGiven | None = None
    rates: RatesGiven | None = None
