"""Digests of today's data and sources, with which results are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from gta.errors import GtaError
from gta.study import Run, Study


@dataclass(frozen=True)
class Origin:
    """Digests of a run's dataset and source.

    Attributes:
        data: digest of the prepared dataset.
        source: digest of the source's prepared file.
    """

    data: str
    source: str


def origins_of(study: Study) -> Callable[[Run], Origin | None]:
    """Today's data and source of each run; None if one of them is not there to compare.

    A digest is computed when a run first needs it. Files that cannot be read are not compared:
    the job that opens or prepares them says what is wrong.
    """
    from gta.data.contents import data_digest
    from gta.models.originals import source_digest

    @cache
    def data(dataset: str) -> str | None:
        try:
            return data_digest(study, dataset)
        except GtaError:
            return None

    @cache
    def weights(source: str) -> str | None:
        try:
            return source_digest(study, source)
        except GtaError:
            return None

    @cache
    def origin(dataset: str, source: str) -> Origin | None:
        found, digest = data(dataset), weights(source)
        return None if found is None or digest is None else Origin(found, digest)

    return lambda run: origin(run.dataset, run.source)
