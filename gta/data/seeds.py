"""Independent random streams, derived from a run's seed, one for each thing drawn."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Streams by purpose. The values decide the numbers of every run: add, never renumber."""

    SUBSET = 0
    ORDER = 1
    AUGMENTATION = 2
    MIXING = 3
    DROP_PATH = 4
    METHOD = 5
    UNLABELLED = 6
    TRIGGER = 7
    PLACE = 8
    POISON = 9


def generator(seed: int, stream: Stream, position: int) -> np.random.Generator:
    """A generator that depends on its arguments alone.

    Args:
        seed: of the run or the subset, from 0.
        stream: what is drawn.
        position: place in the stream (a class, an epoch, an iteration), from 0.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream, position)))


def derive(seed: int, stream: Stream, position: int) -> int:
    """A seed of 63 bits for torch, by the same rule as ``generator``."""
    word = _sequence(seed, stream, position).generate_state(1, np.uint64)[0]
    return int(word >> np.uint64(1))


def _sequence(seed: int, stream: Stream, position: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(stream, position))
