"""Choice of the test images in figures 1, B1 and 3: by name, or drawn by a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gta.data.store import Store
from gta.errors import GtaError
from gta.study import Study


def positions_of(
    study: Study,
    figure: str,
    stores: Mapping[str, Store],
    shared: str | None = None,
    masked: bool = False,
) -> dict[str, NDArray[np.int64]]:
    """Test images for the models of each dataset.

    The number that the config gives is shared out evenly, one at least for each dataset.

    Args:
        study: the study.
        figure: whose settings count.
        stores: by the dataset that the models are trained on, the images that they are shown.
        shared: the one dataset that all these images are of; the models of each dataset are
            then shown others, as far as there are enough.
        masked: whether to draw from the images with masks alone.

    Returns:
        For each dataset positions in its store: those chosen, in their order, or those drawn.

    Raises:
        GtaError: if a chosen image is not there.
    """
    settings = study.config.figure_settings.of(figure)

    def pick(dataset: str, store: Store, count: int) -> NDArray[np.int64]:
        if dataset in settings.chosen:
            names = settings.chosen[dataset]
            return np.asarray([_find(dataset, store, name) for name in names], dtype=np.int64)
        test = store.indices("test")
        if masked:
            test = test[[store.is_masked(int(position)) for position in test]]
        generator = np.random.default_rng(settings.seed)
        return np.sort(generator.choice(test, min(count, len(test)), replace=False))

    if shared is not None:
        picked = pick(shared, next(iter(stores.values())), max(settings.images, len(stores)))
        shares = np.array_split(np.resize(picked, max(len(picked), len(stores))), len(stores))
        return dict(zip(stores, shares, strict=True))
    shares = np.array_split(np.arange(settings.images), len(stores))
    return {
        dataset: pick(dataset, store, max(1, len(share)))
        for (dataset, store), share in zip(stores.items(), shares, strict=True)
    }


def _find(dataset: str, store: Store, wanted: str) -> int:
    """The test image of this name, or the only one whose name ends with it after a slash."""
    names = {int(position): store.names[position] for position in store.indices("test")}
    found = [position for position, name in names.items() if name == wanted]
    found = found or [p for p, name in names.items() if name.endswith(f"/{wanted}")]
    if len(found) != 1:
        some = ", ".join(list(names.values())[:3])
        what = f"{len(found)} test images" if found else "no test image"
        raise GtaError(
            f"figure_settings: chosen: {dataset}: it has {what} named {wanted!r}; "
            f"its names are like {some}"
        )
    return found[0]
