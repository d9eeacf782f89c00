"""The recipe and the digest of each run of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gta.files import json_digest
from gta.study.chosen_methods import StudyMethods
from gta.study.config import Config
from gta.study.expand import Expanded
from gta.study.heads import head_run_of
from gta.study.load import merge, validate
from gta.study.points import LR, values_of
from gta.study.recipe import COMPUTING, Recipe
from gta.study.run import Run
from gta.study.tables import TableSpec

# Part of every digest: raise it when the meaning of a recipe changes, so that old results
# count as stale.
RECIPE_VERSION = 2

RecipeKey = tuple[tuple[int, ...], str | None, str, bool, float | None]
"""Parts that decide a run's recipe: overrides, variant and table merged over the study's, whether
its dataset holds photographs, which need a test view, and its own learning rate, if its method
tunes it."""


class StudyRecipes:
    """Recipes and digests, each made once: a study has few, and thousands of runs."""

    def __init__(
        self,
        config: Config,
        files: Sequence[Path],
        methods: StudyMethods,
        specs: Mapping[str, TableSpec],
        expanded: Expanded,
        photographs: frozenset[str],
    ) -> None:
        """Make none yet.

        Args:
            config: the study's.
            files: the config's files, for messages.
            methods: with the settings that the config gives them.
            specs: stanzas of tables and figures.
            expanded: which of them needs each run first.
            photographs: the datasets that hold photographs.
        """
        self._config, self._files, self._methods = config, files, methods
        self._specs, self._expanded, self._photographs = specs, expanded, photographs
        self._recipes: dict[RecipeKey, Recipe] = {}
        self._digests: dict[tuple[Any, ...], str] = {}

    def key(self, run: Run) -> RecipeKey:
        """Parts that decide a run's recipe."""
        self._expanded.require(run, self._config.study)
        overrides = enumerate(self._config.overrides)
        matching = tuple(i for i, override in overrides if override.matches(run))
        variant = run.method if run.method in self._config.variants else None
        photographs, own = run.dataset in self._photographs, values_of(run.tuned).get(LR)
        return matching, variant, self._expanded.owner[run], photographs, own

    def recipe(self, run: Run) -> Recipe:
        """The study's recipe, with the run's overrides, its variant's and its table's keys."""
        key = self.key(run)
        if key not in self._recipes:
            matching, variant, table, photographs, lr = key
            given = self._config.recipe.model_dump()
            for i in matching:
                given = merge(given, self._config.overrides[i].recipe)
            if variant is not None:
                given = merge(given, self._config.variants[variant].recipe)
            given = merge(given, self._specs[table].recipe)
            if lr is not None:
                given = {**given, "lr": lr}
            recipe = validate(Recipe, given, self._files, under=("recipe",))
            self._recipes[key] = recipe.with_test_view() if photographs else recipe
        return self._recipes[key]

    def digest(self, run: Run) -> str:
        """Digest of all that decides the numbers of a run, but data and source."""
        head = head_run_of(run, self._methods)
        head_key = None if head is None else (self.key(head), head.method)
        key = self.key(run), run.method, run.mix, head_key
        if key not in self._digests:
            self._digests[key] = json_digest(self._deciding(run))
        return self._digests[key]

    def _deciding(self, run: Run) -> dict[str, Any]:
        recipe, head = self.recipe(run), head_run_of(run, self._methods)
        used, _ = recipe.mixing(run.mix)
        unused = {"transmix", "mixup_cutmix"} - {used}
        if run.mix != "none":
            unused.add("base_mix")
        return {
            "version": RECIPE_VERSION,
            "recipe": recipe.model_dump(mode="json", exclude=unused | COMPUTING),
            "method": self._methods.deciding(run.method),
            "split": self._config.split.model_dump(mode="json"),
            **({} if head is None else {"head": self.digest(head)}),
        }
