"""Streams of random numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.data.seeds import Stream, derive, generator

PLACES = st.tuples(st.integers(0, 2**70), st.sampled_from(Stream), st.integers(0, 2**40))


@given(PLACES)
def test_a_place_gives_the_same_numbers_each_time(place):
    assert derive(*place) == derive(*place)
    assert generator(*place).integers(2**62) == generator(*place).integers(2**62)


@given(PLACES, PLACES)
def test_no_two_places_share_numbers(one, other):
    assert (derive(*one) == derive(*other)) == (one == other)


@given(PLACES)
def test_torch_takes_the_seed(place):
    assert 0 <= derive(*place) < 2**63


@pytest.mark.parametrize(
    ("place", "seed"),
    [
        ((0, Stream.SUBSET, 0), 1317536309490288386),
        ((1, Stream.AUGMENTATION, 7), 3259790308148439501),
        ((2, Stream.DROP_PATH, 2999), 308971856315545232),
    ],
)
def test_recorded_seeds(place, seed):
    """Another numpy or a renumbered stream would change the numbers of every run."""
    assert derive(*place) == seed
