"""The digests of today's data and sources, against which results are compared."""

from __future__ import annotations

from collections.abc import Callable

from gta.files import file_digest
from gta.results import Origin
from gta.study import Run, Study


def origins(study: Study) -> Callable[[Run], Origin | None]:
    """Today's data and source of each run, None where one of them is not prepared."""
    from gta.data.store import read_digest

    data = {
        dataset: read_digest(study.store(dataset))
        for dataset in study.config.datasets
        if (study.store(dataset) / "store.json").exists()
    }
    sources = {
        source: file_digest(study.weights(source))
        for source in set(study.config.sources.values())
        if study.weights(source).exists()
    }

    def origin(run: Run) -> Origin | None:
        if run.dataset not in data or run.source not in sources:
            return None
        return Origin(data[run.dataset], sources[run.source])

    return origin
