"""The identity of a training run and the path tail that states it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from operator import attrgetter

from gta.errors import GtaError


@dataclass(frozen=True, order=True)
class Run:
    """Identity of one training run.

    Attributes:
        dataset: name of the downstream dataset.
        rate: share of the training images of every class, in percent, in (0, 100].
        source: name of the pre-trained source.
        method: name of the fine-tuning method.
        mix: key of ``MIXES``; ``none`` is whatever the recipe's ``base_mix`` says.
        lam: weight of the method's penalty; 0 where the method has none.
        seed: seed of head, order, augmentation and, where the study says so, subset.
        tuned: values of what the study tunes beside ``lam``, as ``lr=0.001``; empty if nothing.
    """

    dataset: str
    rate: float
    source: str
    method: str
    mix: str
    lam: float
    seed: int
    tuned: str = ""

    @property
    def name(self) -> str:
        """Path tail, e.g. ``dataset=cub/rate=15/.../lam=10/seed=0`` (numbers as ``%g``).

        What is tuned beside lambda stands behind it: ``lam=10:lr=0.001``.
        """
        return "/".join(f"{field}={self.text(field)}" for field in RUN_FIELDS)

    def text(self, field: str) -> str:
        """A field as it stands in paths: numbers as ``%g``."""
        value = getattr(self, field)
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return f"{text}:{self.tuned}" if field == "lam" and self.tuned else text

    @classmethod
    def parse(cls, name: str) -> Run:
        """Read a run's name back.

        Raises:
            GtaError: if the name is not that of a run.
        """
        match = _NAME.fullmatch(name.strip().strip("/"))
        if match is None:
            form = "/".join(f"{field}=…" for field in RUN_FIELDS)
            raise GtaError(f"{name!r} does not name a run; the form is {form}")
        parts = match.groupdict()
        lam, _, tuned = parts["lam"].partition(":")
        try:
            run = cls(
                dataset=parts["dataset"],
                rate=float(parts["rate"]),
                source=parts["source"],
                method=parts["method"],
                mix=parts["mix"],
                lam=float(lam),
                seed=int(parts["seed"]),
                tuned=tuned,
            )
        except ValueError as error:
            raise GtaError(f"{name!r} does not name a run: {error}") from None
        if not (math.isfinite(run.rate) and math.isfinite(run.lam)):
            raise GtaError(f"{name!r} does not name a run: rate and lam must be finite")
        return run


# Parts of a run's name; ``tuned`` is not one of them, it stands behind ``lam``.
RUN_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Run) if f.name != "tuned")
_NAME = re.compile("/".join(f"{field}=(?P<{field}>[^/]+)" for field in RUN_FIELDS))


CELL = ["dataset", "source", "method", "mix", "rate"]  # the seed is averaged over
POINT = ["lam", "tuned"]  # what is chosen within a cell


IDENTITY = [*RUN_FIELDS, "tuned"]


cell_of = attrgetter(*CELL)


point_of = attrgetter(*CELL, *POINT)


identity_of = attrgetter(*IDENTITY)
