"""The identity of a training run and the path tail that states it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from operator import attrgetter

from gta.errors import GtaError


@dataclass(frozen=True, order=True)
class Run:
    """One training run; nothing but its identity.

    Attributes:
        dataset: name of the downstream data set.
        rate: share of the training images of every class, in percent, in (0, 100].
        source: name of the pre-trained source.
        method: name of the fine-tuning method.
        mix: key of ``MIXES``; ``none`` is whatever the recipe's ``base_mix`` says.
        lam: weight of the method's penalty; 0 where the method has none.
        seed: seed of head, order, augmentation and, where the study says so, subset.
    """

    dataset: str
    rate: float
    source: str
    method: str
    mix: str
    lam: float
    seed: int

    @property
    def name(self) -> str:
        """Path tail, e.g. ``dataset=cub/rate=15/.../lam=10/seed=0`` (numbers as ``%g``)."""
        return "/".join(f"{field}={self.text(field)}" for field in RUN_FIELDS)

    def text(self, field: str) -> str:
        """A field as it stands in paths: numbers as ``%g``."""
        value = getattr(self, field)
        return f"{value:g}" if isinstance(value, float) else str(value)

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
        try:
            run = cls(
                dataset=parts["dataset"],
                rate=float(parts["rate"]),
                source=parts["source"],
                method=parts["method"],
                mix=parts["mix"],
                lam=float(parts["lam"]),
                seed=int(parts["seed"]),
            )
        except ValueError as error:
            raise GtaError(f"{name!r} does not name a run: {error}") from None
        if not (math.isfinite(run.rate) and math.isfinite(run.lam)):
            raise GtaError(f"{name!r} does not name a run: rate and lam must be finite")
        return run


RUN_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Run))
_NAME = re.compile("/".join(f"{field}=(?P<{field}>[^/]+)" for field in RUN_FIELDS))


CELL = ["dataset", "source", "method", "mix", "rate"]  # lam is chosen within, seed averaged over


IDENTITY = list(RUN_FIELDS)


cell_of = attrgetter(*CELL)


identity_of = attrgetter(*IDENTITY)
