"""Training: from a study's runs to their metrics, history, predictions and weights.

``job`` trains a pack of runs, those that see the same batches in lock-step (``lockstep``); each
is a ``learner`` with a ``schedule``. ``checkpoint``, ``lock`` and ``signals`` let them survive
being killed; ``record`` writes what they leave.
"""

from gta.train.device import pick_device
from gta.train.job import train_runs
from gta.train.lockstep import Progress
from gta.train.signals import Stopped

__all__ = ["Progress", "Stopped", "pick_device", "train_runs"]
