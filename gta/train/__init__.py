"""Training: from a study's runs to their metrics, history, predictions and weights.

``job`` trains a pack of runs; ``lockstep`` takes the iterations of those that share batches, each
a ``learner`` with its ``loss``, ``schedule`` and ``history``. ``checkpoint``, ``signals`` and
``failures`` let runs survive kills and each other's errors; ``record`` writes their results.
"""

from gta.train.device import pick_device
from gta.train.job import train_runs
from gta.train.lockstep import Progress
from gta.train.signals import Stopped

__all__ = ["Progress", "Stopped", "pick_device", "train_runs"]
