"""Which training images a sampling rate keeps, and which are held out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gta.data.seeds import Stream, generator
from gta.errors import GtaError


@dataclass(frozen=True)
class Subset:
    """Positions in a store.

    Attributes:
        train: images to train on, (n_train,) sorted.
        heldout: images to choose lambda on, sorted; empty where none are left.
        test: the whole test set, sorted.
    """

    train: NDArray[np.int64]
    heldout: NDArray[np.int64]
    test: NDArray[np.int64]


def count(images: int, rate: float) -> int:
    """Images that a class gives: ``ceil(images * rate / 100)``, the rate as it is written.

    In fractions: as floats, 3000 * 1.1 is a little above 3300 and would give one image more.
    """
    return math.ceil(images * Fraction(str(rate)) / 100)


def random_subset(
    labels: NDArray[np.integer],
    splits: NDArray[np.str_],
    rate: float,
    seed: int,
    heldout: int,
) -> Subset:
    """Draw ``ceil(n_c * rate)`` training images of every class c.

    The draws of one seed are nested: a lower rate's images are among a higher rate's.
    Held out are the data set's own images with split ``heldout`` where there are any, else
    training images that the rate leaves out, at most ``heldout`` of them, drawn evenly.

    Args:
        labels: (images,) class of each image.
        splits: (images,) ``train``, ``test`` or ``heldout``.
        rate: percent, in (0, 100].
        seed: of the draw.
        heldout: most images to hold out.

    Raises:
        GtaError: if there is no training or no test image.
    """
    pool = np.flatnonzero(splits == "train")
    test = np.flatnonzero(splits == "test")
    if not pool.size or not test.size:
        raise GtaError("the data set needs training and test images")
    kept: list[NDArray[np.int64]] = []
    left: list[NDArray[np.int64]] = []
    for label in np.unique(labels[pool]):
        members = pool[labels[pool] == label]
        # A generator a class: the draw of one class does not depend on the others.
        order = generator(seed, Stream.SUBSET, int(label)).permutation(members)
        size = count(len(members), rate)
        kept.append(order[:size])
        left.append(order[size:])
    own = np.flatnonzero(splits == "heldout")
    if not own.size:
        own = _spread(left, heldout)
    return Subset(np.sort(np.concatenate(kept)), np.sort(own), test)


def _spread(left: list[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
    """At most ``most`` images, taken from the classes in turn."""
    taken = [
        (turn, position, image)
        for position, images in enumerate(left)
        for turn, image in enumerate(images)
    ]
    return np.asarray([image for *_, image in sorted(taken)[:most]], dtype=np.int64)
