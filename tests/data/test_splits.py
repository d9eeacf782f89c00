"""Subsets: exact counts, nested, apart from each other, the same each time."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.data.splits import Subset, count, random_subset
from gta.errors import GtaError

RATES = st.integers(1, 100_000).map(lambda thousandths: thousandths / 1000)
SEEDS = st.integers(0, 2**32)


@st.composite
def data_sets(draw, own_heldout: bool = False):
    """Labels and splits, shuffled: up to five classes, each with training images, some tested."""
    of_class = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    labels = np.repeat(np.arange(len(of_class)), of_class)
    others = draw(st.lists(st.integers(0, len(of_class) - 1), min_size=2, max_size=20))
    names = ["test", "heldout"] if own_heldout else ["test"]
    splits = ["train"] * len(labels) + [names[i % len(names)] for i in range(len(others))]
    labels = np.concatenate([labels, others]).astype(np.int32)
    order = np.random.default_rng(draw(SEEDS)).permutation(len(labels))
    return labels[order], np.asarray(splits)[order]


@given(st.integers(0, 10**7), RATES)
def test_count_is_the_exact_ceiling(images, rate):
    exact = images * Fraction(f"{rate:g}") / 100
    assert count(images, rate) == math.ceil(exact)


@pytest.mark.parametrize(
    ("images", "rate", "expected"),
    # As floats, 3000 * 1.1 is above 3300; the others are CUB's, Pet's and a whole class.
    [(3000, 1.1, 33), (30, 15, 5), (29, 15.0, 5), (49, 50, 25), (7, 100, 7), (7, 0.1, 1)],
)
def test_counts(images, rate, expected):
    assert count(images, rate) == expected


@given(data_sets(), RATES, SEEDS, st.integers(0, 60))
def test_a_subset(data, rate, seed, most):
    labels, splits = data
    subset = random_subset(labels, splits, rate, seed, most)
    pool = Counter(labels[splits == "train"].tolist())
    kept = Counter(labels[subset.train].tolist())
    assert kept == {label: count(size, rate) for label, size in pool.items()}
    np.testing.assert_array_equal(subset.test, np.flatnonzero(splits == "test"))
    # held out: what is left of the training images, as even over the classes as they allow
    left = {label: size - kept[label] for label, size in pool.items()}
    held = Counter(labels[subset.heldout].tolist())
    assert held.total() == min(most, sum(left.values()))
    fullest = max(held.values(), default=0)
    assert all(held[label] >= min(left[label], fullest - 1) for label in pool)
    # apart, sorted, each once
    assert set(splits[subset.train]) == {"train"}
    assert set(splits[subset.heldout]) <= {"train"}
    together = np.concatenate([subset.train, subset.heldout, subset.test])
    assert len(set(together.tolist())) == len(together)
    for part in (subset.train, subset.heldout, subset.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


@given(data_sets(), RATES, RATES, SEEDS)
def test_the_subsets_of_a_seed_are_nested(data, one, other, seed):
    labels, splits = data
    low, high = (random_subset(labels, splits, rate, seed, 0) for rate in sorted((one, other)))
    assert set(low.train.tolist()) <= set(high.train.tolist())


@given(data_sets(), SEEDS)
def test_everything_at_100_percent_leaves_nothing_to_hold_out(data, seed):
    labels, splits = data
    subset = random_subset(labels, splits, 100, seed, 500)
    np.testing.assert_array_equal(subset.train, np.flatnonzero(splits == "train"))
    assert subset.heldout.size == 0


@given(data_sets(own_heldout=True), RATES, SEEDS)
def test_the_data_sets_own_heldout_images_are_all_used_instead(data, rate, seed):
    labels, splits = data
    subset = random_subset(labels, splits, rate, seed, 1)
    np.testing.assert_array_equal(subset.heldout, np.flatnonzero(splits == "heldout"))


@given(data_sets(), RATES, SEEDS)
def test_a_classs_draw_does_not_depend_on_the_other_classes(data, rate, seed):
    labels, splits = data
    alone = np.where(splits == "train", np.where(labels == labels.max(), "train", "none"), splits)
    rest, whole = (random_subset(labels, s, rate, seed, 0).train for s in (alone, splits))
    np.testing.assert_array_equal(rest, whole[labels[whole] == labels.max()])


def three_classes(rate: float, seed: int) -> Subset:
    labels, splits = np.arange(30) % 3, np.asarray(["train"] * 24 + ["test"] * 6)
    return random_subset(labels, splits, rate, seed, heldout=5)


@pytest.mark.parametrize(
    ("rate", "seed", "train", "heldout"),
    [
        (15, 0, [0, 2, 7, 10, 20, 21], [1, 3, 4, 5, 18]),
        (50, 0, [0, 1, 2, 3, 4, 5, 7, 10, 17, 18, 20, 21], [6, 13, 14, 15, 19]),
        (15, 1, [4, 5, 9, 11, 18, 19], [2, 12, 13, 15, 16]),
    ],
)
def test_recorded_subsets(rate, seed, train, heldout):
    """Another numpy or other code that draws differently would make all results others."""
    subset = three_classes(rate, seed)
    assert subset.train.tolist() == train
    assert subset.heldout.tolist() == heldout


def test_seeds_draw_differently():
    drawn = {tuple(three_classes(50, seed).train.tolist()) for seed in range(10)}
    assert len(drawn) == 10


@pytest.mark.parametrize("splits", [["train"] * 4, ["test"] * 4, ["heldout", "test"] * 2])
def test_a_data_set_without_training_or_test_images_is_an_error(splits):
    with pytest.raises(GtaError, match="needs training and test images"):
        random_subset(np.zeros(4, dtype=np.int32), np.asarray(splits), 15, 0, 0)


def test_what_is_neither_trained_on_nor_held_out_is_unlabelled():
    labels = np.arange(40) % 4
    splits = np.where(np.arange(40) < 32, "train", "test")
    subset = random_subset(labels, splits, 25, seed=0, heldout=5)
    parts = [subset.train, subset.heldout, subset.unlabelled]
    assert [len(part) for part in parts] == [8, 5, 19]
    assert sorted(np.concatenate(parts)) == list(range(32))
    assert not random_subset(labels, splits, 100, seed=0, heldout=5).unlabelled.size
