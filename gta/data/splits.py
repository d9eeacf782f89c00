"""Selection of the training images of a sampling rate and of held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gta.data.seeds import Stream, generator
from gta.data.split_lists import Published, read_lists
from gta.data.store import Store
from gta.errors import GtaError
from gta.study import Run, Study


@dataclass(frozen=True)
class Subset:
    """Positions in a store.

    Attributes:
        train: images to train on, (n_train,) sorted.
        heldout: images to choose lambda on, sorted; empty where none are left.
        test: the whole test set, sorted.
        unlabelled: training images that the rate leaves out and that are not held out, sorted.
    """

    train: NDArray[np.int64]
    heldout: NDArray[np.int64]
    test: NDArray[np.int64]
    unlabelled: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def count(images: int, rate: float) -> int:
    """Images that a class gives: ``ceil(images * rate / 100)``, the rate as it is written.

    In fractions: as floats, 3000 * 1.1 is a little above 3300 and would give one image more.
    """
    return math.ceil(images * Fraction(str(rate)) / 100)


def subset_of(study: Study, run: Run, store: Store) -> Subset:
    """The images that a run trains, chooses lambda and is tested on.

    Raises:
        GtaError: if the published lists are asked for and do not fit the dataset.
    """
    split = study.config.split
    seed = run.seed if split.seed == "run" else split.seed
    if split.kind == "bss":
        prefix = study.dataset_info(run.dataset).bss
        if prefix is None:
            raise GtaError(f"{run.dataset}: there are no published split lists")
        lists = read_lists(prefix, run.rate, study.archives_root / "bss")
        return listed_subset(store.bss, store.labels, store.splits, lists, seed, split.heldout)
    return random_subset(store.labels, store.splits, run.rate, seed, split.heldout)


def random_subset(
    labels: NDArray[np.integer],
    splits: NDArray[np.str_],
    rate: float,
    seed: int,
    heldout: int,
) -> Subset:
    """Draw ``ceil(n_c * rate)`` training images of every class c.

    The draws of one seed are nested: a lower rate's images are among a higher rate's.
    Held out are the dataset's own images with split ``heldout`` where there are any, else
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
        raise GtaError("the dataset needs training and test images")
    kept: list[NDArray[np.int64]] = []
    left: list[NDArray[np.int64]] = []
    for order in _shuffled(labels, pool, seed):
        size = count(len(order), rate)
        kept.append(order[:size])
        left.append(order[size:])
    train = np.sort(np.concatenate(kept))
    held = _heldout(splits, left, heldout)
    return Subset(train, held, test, _others(left, held))


def listed_subset(
    bss: Sequence[str | None],
    labels: NDArray[np.integer],
    splits: NDArray[np.str_],
    lists: Published,
    seed: int,
    heldout: int,
) -> Subset:
    """Take the training images that a published list names.

    The lists must name the dataset's own training and test images, each once. Held out is as in
    ``random_subset``; only that draw depends on ``seed``.

    Args:
        bss: (images,) name of each image in the lists; None where it has none.
        labels: (images,) class of each image.
        splits: (images,) ``train``, ``test`` or ``heldout``.
        lists: of the dataset at the wanted rate.
        seed: of the draw of held-out images.
        heldout: most images to hold out.

    Raises:
        GtaError: if a line matches no image or several, an image is in no list, or a line of
            the rate's list is not in the list at 100 percent.
    """
    pool = _match(bss, splits, "train", lists.pool)
    test = _match(bss, splits, "test", lists.test)
    for name, where in lists.train.items():
        if name not in pool:
            raise GtaError(f"{where}: {name} is not in the list of all training images")
    train = np.sort(np.asarray([pool[name] for name in lists.train], dtype=np.int64))
    every = np.sort(np.asarray(list(pool.values()), dtype=np.int64))
    left = [order[~np.isin(order, train)] for order in _shuffled(labels, every, seed)]
    tested = np.sort(np.asarray(list(test.values()), dtype=np.int64))
    held = _heldout(splits, left, heldout)
    return Subset(train, held, tested, _others(left, held))


def _match(
    bss: Sequence[str | None], splits: NDArray[np.str_], split: str, listed: dict[str, str]
) -> dict[str, int]:
    """Position of each line's image, one to one with a split's images."""
    positions: dict[str, int] = {}
    unnamed: list[int] = []
    for position in np.flatnonzero(splits == split).tolist():
        name = bss[position]
        if name is None:
            unnamed.append(position)
        elif name not in listed:
            raise GtaError(f"split kind bss: the {split} image {name} is in no published list")
        elif name in positions:
            raise GtaError(f"{listed[name]}: {name} matches two images")
        else:
            positions[name] = position
    for name, where in listed.items():
        if name not in positions:
            hint = (
                f" ({len(unnamed)} {split} images have no name in the lists; Stanford Cars "
                "needs cars_annos.mat beside its archives when it is prepared)"
                if unnamed
                else ""
            )
            raise GtaError(f"{where}: {name} matches no image{hint}")
    if unnamed:
        raise GtaError(f"split kind bss: {len(unnamed)} {split} images are in no published list")
    return positions


def _shuffled(
    labels: NDArray[np.integer], pool: NDArray[np.int64], seed: int
) -> Iterator[NDArray[np.int64]]:
    """The pool's images of each class, in a random order."""
    for label in np.unique(labels[pool]):
        members = pool[labels[pool] == label]
        # A generator a class: the draw of one class does not depend on the others.
        yield generator(seed, Stream.SUBSET, int(label)).permutation(members)


def _heldout(
    splits: NDArray[np.str_], left: list[NDArray[np.int64]], most: int
) -> NDArray[np.int64]:
    """The dataset's own held-out images, else ``most`` of those that are left."""
    own = np.flatnonzero(splits == "heldout")
    return own if own.size else np.sort(_spread(left, most))


def _others(left: list[NDArray[np.int64]], held: NDArray[np.int64]) -> NDArray[np.int64]:
    """Images that are left and not held out."""
    return np.setdiff1d(np.concatenate(left), held)


def _spread(left: list[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
    """At most ``most`` images, taken from the classes in turn."""
    taken = [
        (turn, position, image)
        for position, images in enumerate(left)
        for turn, image in enumerate(images)
    ]
    return np.asarray([image for *_, image in sorted(taken)[:most]], dtype=np.int64)
