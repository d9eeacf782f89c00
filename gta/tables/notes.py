"""Notes under a table: the settings behind it, and the meaning of its signs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from gta.methods import METHODS
from gta.study import Run, Study, TableSpec
from gta.study.commands import command
from gta.study.recipe import COMPUTING
from gta.study.run import CELL, cell_of
from gta.tables.anova import LEVEL
from gta.tables.intervals import BASELINE
from gta.tables.reference import DEVIATIONS

WITHIN = {True: "≈", False: "≉"}
ABOVE, BELOW, TIED = "↑", "↓", "•"

FEW = 4  # names that are listed
NAMES = {field: field for field in CELL} | {"dataset": "dataset"}

Titles = Callable[[str, Any], str]


def method_notes(study: Study, methods: Iterable[str]) -> list[str]:
    """One line that names the lambdas tried by each method and its own settings."""
    parts = []
    for method in methods:
        lambdas = ", ".join(f"{lam:g}" for lam in study.grid(method))
        for name, values in study.methods.tuned_grids(method).items():
            lambdas += f"; {name} {', '.join(f'{value:g}' for value in values)}"
        settings = study.methods.settings(method)
        own = "".join(f"; {key} {_text(value)}" for key, value in settings.items())
        weighed = study.methods.lam_of(method)
        own += f"; λ of the {weighed}" if weighed not in {"", *map(str, settings.values())} else ""
        parts.append(f"{study.methods[method].title}: {lambdas}{own}")
    return [f"λ tried: {' | '.join(parts)}."]


def recipe_note(study: Study, runs: Iterable[Run], title_of: Titles) -> str:
    """One line with every setting of the recipe; where runs differ, with what.

    Args:
        study: the study.
        runs: whose recipes.
        title_of: gives a field's value as readers see it.
    """
    # a recipe depends on neither lambda nor seed; cells may be many, recipes are few
    cells = {cell_of(run): run for run in runs}
    given = {cell: study.recipe(run) for cell, run in sorted(cells.items())}
    used = {given[cell].mixing(run.mix)[0] for cell, run in cells.items()}
    unused = {"transmix", "mixup_cutmix"} - used
    flat = {
        id(recipe): dict(_flat(recipe.model_dump(mode="json", exclude=unused | COMPUTING)))
        for recipe in {id(recipe): recipe for recipe in given.values()}.values()
    }
    parts = []
    for key in dict.fromkeys(key for recipe in flat.values() for key in recipe):
        texts = {_text(recipe.get(key)) for recipe in flat.values()}
        if len(texts) == 1:
            text = texts.pop()
        else:
            values = {cell: flat[id(recipe)].get(key) for cell, recipe in given.items()}
            text = _by_field(values, title_of)
        parts.append(f"{key.replace('_', ' ')} {text}")
    return " ".join([f"Recipe (AdamW): {'; '.join(parts)}.", *_sources_note(study)])


def _sources_note(study: Study) -> Iterator[str]:
    """Sources of the choices on which the paper is silent, as cited in the config."""
    cited = [
        f"{', '.join(key.replace('_', ' ').replace('.', ' ') for key in keys)}: {source}"
        for source, keys in study.config.recipe_sources.items()
    ]
    if cited:
        yield f"Where the paper is silent: {'; '.join(cited)}."


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


def paper_remark() -> str:
    """Origin of the reference numbers, and the meaning of the signs behind a difference."""
    return (
        f"paper: arXiv 2401.02656; Δ: ours less the paper's; {WITHIN[True]}: within "
        f"{DEVIATIONS:g} pooled standard deviations, {WITHIN[False]}: beyond (where the paper "
        "gives no deviation, ours alone)."
    )


def gain_remarks(study: Study, table: pd.DataFrame) -> list[str]:
    """Meaning of the marks of gains, and a note if some could not be computed."""
    title = METHODS[BASELINE].title
    if "gain" not in table:
        return []
    remarks = []
    unknown = table["gain"].notna() & table["gain_low"].isna()
    if table["gain_low"].notna().any():
        remarks.append(
            f"{ABOVE} {BELOW}: the gain over {title} (same seeds, same test images) has a "
            f"{100 * LEVEL:g} % interval above or below zero: two-way analysis of variance, images "
            "and seeds random, Satterthwaite's degrees of freedom. The choice of λ is not part of "
            f"the interval: chosen by test accuracy, it inflates gains, {ABOVE} and {TIED}."
        )
    if len(study.config.seeds) == 1:
        remarks.append("One seed: there is no interval, so no gain is marked.")
    elif unknown.any():
        remarks.append(
            f"{unknown.sum()} gains have no interval yet: `{command(study, 'intervals')}`."
        )
    return remarks


def compared(within: Sequence[str], spec: TableSpec) -> str:
    """Description of which cells of an accuracy table are compared with each other.

    Args:
        within: fields that they share.
        spec: the table's stanza.
    """
    for line, fields in (("column", spec.columns or ["rate"]), ("row", spec.rows)):
        if list(within) == [*spec.groups, *fields]:
            groups = " and ".join(NAMES[field] for field in spec.groups)
            return f"a {line}{' within a ' + groups if groups else ''}"
    return f"a {' and '.join(NAMES[field] for field in within)}"


def tied_remark(cells: str) -> str:
    """Meaning of the mark of the best group."""
    return (
        f"{TIED}: cannot be told from the best of {cells}: all pairs of its cells are compared on "
        f"the same seeds and test images, Holm's correction at {100 * (1 - LEVEL):g} %."
    )


def hole_remarks(table: pd.DataFrame) -> list[str]:
    """Remedy for missing cells, if there are any."""
    if not (table["missing"] != "").any():
        return []
    return [
        "-: a hole; its note says why and what to run. Then `snakemake`, or `gta collect` and "
        "`gta table --write`, fills it."
    ]


def choice_remarks(study: Study, methods: Iterable[str]) -> list[str]:
    """Note on how lambda was chosen, if a method has several."""
    points = study.methods.points
    grids = [m for m in dict.fromkeys(methods) if m in study.methods and len(points(m)) > 1]
    if not grids:
        return []
    beside = any(map(study.methods.tuned_grids, grids))
    return [
        "λ by test accuracy: the λ with the highest mean test accuracy over seeds, the paper's "
        "rule. λ by held-out accuracy: with the highest mean accuracy on images that are neither "
        "trained nor tested on. Ties go to the smaller λ."
        + (" Other tuned settings are chosen with it." if beside else ""),
        *tune_notes(study),
        *method_notes(study, grids),
    ]


def tune_notes(study: Study) -> list[str]:
    """Note on the seeds that lambda was chosen on, if these are not all."""
    if study.config.tune is None:
        return []
    tuned, every = (
        ", ".join(map(str, seeds)) for seeds in (study.config.tune.seeds, study.config.seeds)
    )
    return [
        f"λ chosen on seeds {tuned} alone, by either rule; the chosen λ ran on seeds {every}, "
        "whose numbers these are."
    ]
