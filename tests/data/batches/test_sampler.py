"""The stream of batches against permutations laid end to end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gta.data.batches.sampler import BatchStream
from gta.data.seeds import Stream, generator

SIZES = st.integers(1, 40)
BATCHES = st.integers(1, 100)  # often larger than the set
SEEDS = st.integers(0, 2**32)


@given(SIZES, BATCHES, SEEDS, st.integers(1, 12))
def test_batches_are_slices_of_permutations_laid_end_to_end(size, batch, seed, batches):
    epochs = -(-batches * batch // size)
    orders = [generator(seed, Stream.ORDER, e).permutation(size) for e in range(epochs)]
    whole = np.concatenate(orders)
    stream = BatchStream(size, batch, seed)
    for i in range(batches):
        taken = stream.batch(i)
        assert taken.dtype == np.int64
        np.testing.assert_array_equal(taken, whole[i * batch : (i + 1) * batch])


@given(SIZES, BATCHES, SEEDS, st.lists(st.integers(0, 500), min_size=1, max_size=8))
def test_a_batch_does_not_depend_on_those_asked_for_before(size, batch, seed, iterations):
    stream = BatchStream(size, batch, seed)
    for i in iterations:
        np.testing.assert_array_equal(stream.batch(i), BatchStream(size, batch, seed).batch(i))


@given(SIZES, BATCHES, SEEDS, st.integers(1, 4), st.integers(0, 9))
def test_repeated_positions_stand_in_a_row(size, batch, seed, repeats, iteration):
    """DeiT's sampler for one process: the permutation, each position ``repeats`` times."""
    once = BatchStream(size, 1, seed)
    places = range(iteration * batch, (iteration + 1) * batch)
    expected = [int(once.batch(place // repeats)[0]) for place in places]
    assert BatchStream(size, batch, seed, repeats).batch(iteration).tolist() == expected


@given(SIZES, BATCHES, SEEDS)
def test_an_epoch_shows_each_image_once(size, batch, seed):
    stream = BatchStream(size, batch, seed)
    flat = np.concatenate([stream.batch(i) for i in range(-(-3 * size // batch))])
    for epoch in range(3):
        assert sorted(flat[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_epochs_and_seeds_differ_in_order():
    orders = {
        tuple(BatchStream(20, 20, seed).batch(epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_recorded_stream():
    """Another numpy or other code that draws differently would make all results others."""
    stream = BatchStream(5, 4, seed=0)
    assert [stream.batch(i).tolist() for i in range(3)] == [
        [1, 3, 2, 0],
        [4, 3, 4, 2],
        [1, 0, 4, 0],
    ]
