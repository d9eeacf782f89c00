"""What a table's footnotes say of the settings behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from gta.catalog import METHODS
from gta.study import Run, Study
from gta.tables.selection import CELL

FEW = 4  # names that are listed

Titles = Callable[[str, Any], str]


def method_notes(study: Study, methods: Iterable[str]) -> list[str]:
    """One line that names the lambdas tried by each method and its own settings."""
    parts = []
    for method in methods:
        lambdas = ", ".join(f"{lam:g}" for lam in study.grid(method))
        settings = study.method_settings(method).items()
        own = "".join(f"; {key} {_text(value)}" for key, value in settings)
        parts.append(f"{METHODS[method].title}: {lambdas}{own}")
    return [f"λ tried: {' | '.join(parts)}."]


def recipe_note(study: Study, runs: Iterable[Run], title_of: Titles) -> str:
    """One line with every setting of the recipe; where runs differ, with what.

    Args:
        study: the study.
        runs: whose recipes.
        title_of: gives a field's value as readers see it.
    """
    # a recipe depends on neither lambda nor seed
    cells = {tuple(getattr(run, field) for field in CELL): run for run in runs}
    unused = set() if any(run.mix == "transmix" for run in cells.values()) else {"transmix"}
    recipes = {
        cell: dict(_flat(study.recipe(run).model_dump(mode="json", exclude=unused)))
        for cell, run in sorted(cells.items())
    }
    keys = dict.fromkeys(key for recipe in recipes.values() for key in recipe)
    parts = []
    for key in keys:
        values = {cell: recipe.get(key) for cell, recipe in recipes.items()}
        text = _text(next(iter(values.values())))
        if len({_text(value) for value in values.values()}) > 1:
            text = _by_field(values, title_of)
        parts.append(f"{key.replace('_', ' ')} {text}")
    return f"Recipe (AdamW): {'; '.join(parts)}."


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield prefix + key, value


def _by_field(values: Mapping[tuple[Any, ...], Any], title_of: Titles) -> str:
    """Values with the fewest fields of a cell that tell them apart."""
    for size in range(1, len(CELL) + 1):
        for fields in combinations(CELL, size):
            places = [CELL.index(field) for field in fields]
            groups: dict[str, dict[str, None]] = {}
            owner: dict[str, str] = {}
            for cell, value in values.items():
                label = " ".join(title_of(CELL[place], cell[place]) for place in places)
                if owner.setdefault(label, _text(value)) != _text(value):
                    break
                groups.setdefault(_text(value), {})[label] = None
            else:
                return _told_apart(groups)
    raise AssertionError("a cell has one recipe")


def _told_apart(groups: Mapping[str, Mapping[str, None]]) -> str:
    """Each value and who has it; the most frequent of a long list has "all others"."""
    usual = max(groups, key=lambda text: len(groups[text]))
    if len(groups[usual]) <= FEW:
        usual = ""
    parts = [f"{text} ({', '.join(who)})" for text, who in groups.items() if text != usual]
    return ", ".join([*parts, *([f"{usual} (all others)"] if usual else [])])


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "/".join(_text(part) for part in value)
    return str(value)
