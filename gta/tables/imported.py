"""Notes on cells whose runs came from another machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isnan
from typing import Any

from gta.results.imports import ImportedFrom
from gta.study import Run
from gta.study.run import CELL, cell_of
from gta.tables.layout import Cell, Page


def with_imported(page: Page, imported: Mapping[Run, ImportedFrom]) -> Page:
    """The table with a note on each cell that stands for imported runs.

    Where several columns stand for one cell of the study, as ours, paper's and difference, the
    first one of a row bears the note.

    Args:
        page: the table as readers see it; its cells are replaced in place.
        imported: where each such run came from.
    """
    runs_of: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in imported:
        runs_of[cell_of(run)].append(run)
    for _, cells in page.blocks if imported else ():
        for row in range(len(cells)):
            seen: set[tuple[Any, ...]] = set()
            for column in range(cells.shape[1]):
                cell = cells.iat[row, column]
                if not isinstance(cell, Cell) or isnan(cell.mean):
                    continue
                place = tuple(cell.place.get(field) for field in CELL)
                key = (*place, cell.place.get("selection"))
                points = {(cell.lam, cell.tuned), (cell.other_lam, cell.other_tuned)}
                # lambda is NaN, which no run has, where nothing was chosen
                any_point = all(isnan(lam) for lam, _ in points)
                shown = [
                    run for run in runs_of[place] if any_point or (run.lam, run.tuned) in points
                ]
                if shown and key not in seen:
                    noted = page.note(_note(shown, imported))
                    cells.iat[row, column] = replace(cell, notes=(*cell.notes, *noted))
                seen.add(key)
    return page


def _note(runs: Iterable[Run], imported: Mapping[Run, ImportedFrom]) -> str:
    seeds: dict[ImportedFrom, set[int]] = defaultdict(set)
    for run in runs:
        seeds[imported[run]].add(run.seed)
    parts = [
        f"{'seeds' if len(own) > 1 else 'seed'} {', '.join(map(str, sorted(own)))} from {origin}"
        for origin, own in sorted(seeds.items())
    ]
    return f"Imported, not trained here: {'; '.join(parts)}."
