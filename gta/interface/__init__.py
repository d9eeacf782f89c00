"""The Python interface to results, tables, figures and models: what ``import gta`` offers."""

from gta.interface.locate import open
from gta.interface.run_results import RunResults
from gta.interface.study_results import StudyResults

__all__ = ["RunResults", "StudyResults", "open"]
