"""The lines of a training log that say how far the runs are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gta.train.learner import Learner
from gta.train.signals import say

EVERY = 30.0  # seconds between two lines


class Pace:
    """Says every half minute how far runs are that train together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            clock: gives seconds.
        """
        self._clock = clock
        self._last = clock()
        self._images = 0

    def __call__(self, learners: Sequence[Learner]) -> None:
        """Count an iteration of those that are not finished; say a line if one is due.

        Args:
            learners: of the runs that train together and have not failed.
        """
        if not learners:
            return
        slowest = min(learners, key=lambda learner: learner.iteration)
        self._images += slowest.recipe.batch_size
        now = self._clock()
        if now - self._last < EVERY:
            return
        speed = self._images / (now - self._last)  # of one run; those beside it see the same
        self._last, self._images = now, 0
        recipe = slowest.recipe
        left = (recipe.iterations - slowest.iteration) * recipe.batch_size / speed
        losses = [one.last_loss for one in learners if one.last_loss is not None]
        said = " to ".join(f"{loss:.4g}" for loss in sorted({min(losses), max(losses)}))
        runs = f" of {len(learners)} runs" if len(learners) > 1 else ""
        say(
            f"iteration {slowest.iteration:,} of {recipe.iterations:,}{runs}: loss {said}, "
            f"{speed:,.3g} images a second, {_duration(left)} left"
        )


def _duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
