"""Errors of single runs, noted so that the runs beside them continue."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from gta.errors import GtaError
from gta.train.learner import Learner
from gta.train.signals import say


class Failures:
    """The learners that fail in an iteration, and those that must repeat it.

    Attributes:
        errors: of the learners that failed; each is to be dropped.
    """

    def __init__(self, iteration: int) -> None:
        """No learner has failed yet.

        Args:
            iteration: the iteration, for messages.
        """
        self.errors: dict[Learner, GtaError] = {}
        self._iteration = iteration
        self._repeating: set[Learner] = set()

    @contextmanager
    def of(self, learners: Sequence[Learner], may_halve: bool = False) -> Iterator[None]:
        """Note an error of the block as one of these learners; they take no further part.

        A learner that runs out of memory repeats the iteration with half the micro-batch if
        ``may_halve`` and its recipe allow it.
        """
        try:
            yield
        except Exception as error:
            exhausted = out_of_memory(error)
            for learner in learners:
                learner.reset()
                if exhausted and may_halve and learner.halve():
                    self._repeating.add(learner)
                    say(
                        f"{learner.run.name}: out of memory at iteration {self._iteration}; from "
                        f"here on in micro-batches of {learner.micro_batch}"
                    )
                elif exhausted:
                    self.errors[learner] = _exhausted(learner, self._iteration)
                else:
                    self.errors[learner] = as_gta_error(error, f"iteration {self._iteration}")

    def others(self, learners: Sequence[Learner]) -> list[Learner]:
        """Learners that have not failed."""
        return [learner for learner in learners if learner not in self.errors]

    def in_step(self, learners: Sequence[Learner]) -> list[Learner]:
        """Learners that neither failed nor must repeat the step."""
        return [one for one in self.others(learners) if one not in self._repeating]

    def end_step(self) -> None:
        """Let the learners that must repeat the step begin again."""
        self._repeating.clear()


def as_gta_error(error: Exception, where: str) -> GtaError:
    """An error as one line for the user; an unexpected one leaves its traceback in the log."""
    if isinstance(error, GtaError):
        return error
    say("".join(traceback.format_exception(error)).rstrip())
    said = (str(error).strip().splitlines() or [""])[0]
    return GtaError(f"{where}: {type(error).__name__}: {said}")


def out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine itself, had too little memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)
    )


def _exhausted(learner: Learner, iteration: int) -> GtaError:
    """Message for a run that needs more memory than there is."""
    size, auto = learner.micro_batch, learner.recipe.micro_batch == "auto"
    remedy = "use a larger device or a smaller model" if auto else "set recipe.micro_batch: auto"
    images = "1 image" if size == 1 else f"{size} images"
    return GtaError(f"iteration {iteration}: out of memory with {images} at once; {remedy}")
