"""The study: its config, its runs, and where each of its files lies.

The Snakefile, the command line and the tables all ask ``Study``; nobody expands twice.
"""

from gta.study.packs import Pack, PackGroup
from gta.study.recipe import Recipe
from gta.study.recipes import RECIPE_VERSION
from gta.study.run import RUN_FIELDS, Run
from gta.study.run_files import RunFiles
from gta.study.study import Study
from gta.study.tables import TableSpec

__all__ = [
    "RECIPE_VERSION",
    "RUN_FIELDS",
    "Pack",
    "PackGroup",
    "Recipe",
    "Run",
    "RunFiles",
    "Study",
    "TableSpec",
]
