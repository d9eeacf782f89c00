"""The digests of today's data and sources, against which results are compared."""

from __future__ import annotations

from collections.abc import Callable

from gta.results import Origin
from gta.study import Run, Study


def origins(study: Study) -> Callable[[Run], Origin | None]:
    """Today's data and source of each run, None where one of them is not prepared."""
    from gta.data.contents import data_digest
    from gta.models.originals import source_digest

    found = {dataset: data_digest(study, dataset) for dataset in study.config.datasets}
    data = {dataset: digest for dataset, digest in found.items() if digest is not None}
    found = {name: source_digest(study, name) for name in set(study.config.sources.values())}
    sources = {name: digest for name, digest in found.items() if digest is not None}

    def origin(run: Run) -> Origin | None:
        if run.dataset not in data or run.source not in sources:
            return None
        return Origin(data[run.dataset], sources[run.source])

    return origin
