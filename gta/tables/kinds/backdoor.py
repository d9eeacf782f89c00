"""Tables of backdoors: finished runs on images with the trigger, before and after blocking."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.kinds import Input
from gta.tables.kinds._tested import frame_of_tests
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

# Name and title of each number, in percent.
MEASURES = {
    "clean_acc1": "Clean",
    "success": "Attack",
    "success_map": "Attack, map blocked",
    "success_rollout": "Attack, rollout blocked",
    "acc1_map": "Clean, map blocked",
    "acc1_rollout": "Clean, rollout blocked",
    "trigger_mass": "Mass on trigger",
}


class Backdoor(TableKind):
    """Accuracy, success of the attack and attention on the trigger.

    Its cells name methods that train with ``recipe.backdoor`` (``variants``) and, beside them,
    methods that do not: their attack is that of the trigger alone, without poison.
    """

    name: ClassVar[str] = "backdoor"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "backdoor")
    weights: ClassVar[bool] = True
    axes: ClassVar[bool] = True
    number: ClassVar[tuple[str, str] | None] = ("success", "success_std")

    def check_study(self, study: Study, name: str) -> None:
        """Some of its runs are poisoned, and these agree in the backdoor."""
        recipes = [study.recipe(run).backdoor for run in study.runs_of(name)]
        found = [settings for settings in recipes if settings is not None]
        if not found or any(settings != found[0] for settings in found):
            raise ValueError(
                "kind backdoor needs runs that train with one recipe.backdoor; give it to a method "
                "under `variants`"
            )

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """A row for each selection and cell, a column for each of ``MEASURES`` and its ±."""
        from gta.tables.missing import UNATTACKED

        runs = collected.backdoor.rename(columns={"acc1": "clean_acc1"})
        return frame_of_tests(study, name, collected, runs, list(MEASURES), UNATTACKED)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """A block for each selection."""
        from gta.tables.layout import CHOSEN_BY, Cell, Page, choice, grid, title_of
        from gta.tables.notes import choice_remarks, hole_remarks, recipe_note

        spec = study.tables[name]
        page = Page(name, spec.title, spec.caption)

        def first(row: Any) -> Cell:
            chosen, text = choice(study, row, row.method)
            return Cell(row.clean_acc1, row.clean_acc1_std, notes=page.note(text), **chosen)

        def number(measure: str, row: Any) -> Cell:
            return Cell(getattr(row, measure), getattr(row, f"{measure}_std"))

        shown = [m for m in MEASURES if frame[m].notna().any() or m == "clean_acc1"]
        columns: dict[str, Callable[[Any], Cell]] = {MEASURES[m]: partial(number, m) for m in shown}
        columns[MEASURES["clean_acc1"]] = first
        chosen = any(len(study.grid(method)) > 1 for method in frame["method"].unique())
        for selection, rows in frame.groupby("selection", sort=False):
            down = [*spec.groups, *spec.rows, *spec.columns]
            title = CHOSEN_BY[str(selection)] if chosen else ""
            page.blocks.append((title, grid(study, rows, down, [], columns)))
            if not chosen:  # one lambda a method: both rules say the same
                break
        found = [study.recipe(run).backdoor for run in sorted(study.runs_of(name))]
        settings = next(one for one in found if one is not None)
        page.remarks.append(
            f"Trigger: a square of {100 * settings.side:.0f} % of the image's side, "
            f"{'in the lower right corner' if settings.place == 'corner' else 'anywhere'}, "
            f"{100 * settings.side**2:.1f} % of its area. Poison: {100 * settings.fraction:g} % of "
            f"the training images of other classes bear it and the label of class "
            f"{settings.target}. Attack: test images of other classes with the trigger that are "
            "taken for the target; where a method trains without poison, by the trigger alone. "
            "Blocked: the square where the model's own map, or its gradient rollout, is strongest "
            "is blacked out. Mass on trigger: share of the attention that the map shows."
        )
        page.remarks.extend(hole_remarks(frame))
        page.remarks.extend(choice_remarks(study, frame["method"]))
        page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
        return page
