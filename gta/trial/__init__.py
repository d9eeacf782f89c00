"""A first study on a folder of photographs: looked at, configured, run and reported."""

from gta.trial.look import Look, look_at
from gta.trial.run import Finding, Trial, check, estimate, train
from gta.trial.study import Choices, choose_source, study_text

__all__ = [
    "Choices",
    "Finding",
    "Look",
    "Trial",
    "check",
    "choose_source",
    "estimate",
    "look_at",
    "study_text",
    "train",
]
