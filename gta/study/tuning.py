"""Lambda, and what is tuned beside it, chosen on few seeds (``tune``): the runs before and after.

The choice lies in a file of the study, so that Snakemake, which asks for the runs again once the
file is there, the command line and the tables agree on the runs. No pandas here: the choice itself
is made by ``gta.tables.choice``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from gta.errors import GtaError
from gta.files import write_text
from gta.study.expand import Cell
from gta.study.points import Point
from gta.study.run import CELL, Run, cell_of

FILE = "chosen.json"  # in the study's results folder

Choice = Mapping[Cell, Mapping[str, Point]]  # by rule, for each cell that is decided


@dataclass(frozen=True)
class Tuning:
    """The runs of a study that chooses lambda on some of its seeds.

    Attributes:
        seeds: on which lambda is chosen.
        of_cell: each run that the study may come to need, whatever is chosen, by cell.
        digest_of: digest of a run's settings, which does not depend on its seed.
    """

    seeds: frozenset[int]
    of_cell: Mapping[Cell, Sequence[Run]]
    digest_of: Callable[[Run], str]

    @cached_property
    def every(self) -> frozenset[Run]:
        """Each run that the study may come to need."""
        return frozenset(chain.from_iterable(self.of_cell.values()))

    @cached_property
    def cells(self) -> dict[Cell, tuple[Run, ...]]:
        """All runs of each cell that has a choice: several points."""
        return {
            cell: tuple(sorted(runs))
            for cell, runs in sorted(self.of_cell.items())
            if len(set(map(_point, runs))) > 1
        }

    @cached_property
    def deciding(self) -> tuple[Run, ...]:
        """The runs that lambda is chosen by, sorted."""
        runs = (run for members in self.cells.values() for run in members)
        return tuple(sorted(run for run in runs if run.seed in self.seeds))

    @cached_property
    def later(self) -> tuple[Run, ...]:
        """The runs of which the choice takes those at the chosen points, sorted."""
        runs = (run for members in self.cells.values() for run in members)
        return tuple(sorted(run for run in runs if run.seed not in self.seeds))

    @cached_property
    def planned(self) -> frozenset[Run]:
        """The runs that are needed whatever is chosen."""
        return self.every.difference(self.later)

    def chosen(self, choice: Choice) -> frozenset[Run]:
        """The later runs at the points of a choice."""
        return frozenset(
            run for run in self.later if _point(run) in choice.get(cell_of(run), {}).values()
        )

    def open_runs(self, choice: Choice) -> tuple[int, int]:
        """Fewest and most runs that follow from cells that are not decided yet."""
        fewest = most = 0
        for cell, runs in self.cells.items():
            if cell not in choice:
                seeds = len({run.seed for run in runs} - self.seeds)
                fewest, most = fewest + seeds, most + 2 * seeds  # two rules
        return fewest, most

    def stand_ins(self, choice: Choice) -> tuple[Run, ...]:
        """For cells that are not decided yet, later runs at one point: what they will cost."""
        return tuple(
            run
            for cell, runs in self.cells.items()
            if cell not in choice
            for run in runs
            if _point(run) == _point(runs[0]) and run.seed not in self.seeds
        )

    def read(self, folder: Path) -> dict[Cell, dict[str, Point]]:
        """The point by rule for each cell whose choice still stands.

        A choice made among other points, on other seeds or with other settings does not, nor does
        a file that cannot be read.

        Args:
            folder: of the study's results.
        """
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            given = {tuple(row[field] for field in CELL): row for row in content["cells"]}
            return {
                cell: {
                    str(rule): Point(float(lam), str(tuned))
                    for rule, (lam, tuned) in given[cell]["chosen"].items()
                }
                for cell, runs in self.cells.items()
                if cell in given and given[cell]["made_of"] == self._made_of(runs)
            }
        except (GtaError, OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, folder: Path, choice: Choice) -> Path:
        """Keep a choice, whole or not at all."""
        cells = [
            {
                **dict(zip(CELL, cell, strict=True)),
                "chosen": dict(lambdas),
                "made_of": self._made_of(self.cells[cell]),
            }
            for cell, lambdas in choice.items()
        ]
        path = folder / FILE
        write_text(path, json.dumps({"cells": cells}, indent=1) + "\n")
        return path

    def _made_of(self, runs: Sequence[Run]) -> dict[str, Any]:
        return {
            "settings": sorted({self.digest_of(run) for run in runs}),
            "points": sorted([*point] for point in set(map(_point, runs))),
            "seeds": sorted({run.seed for run in runs} & self.seeds),
        }


def _point(run: Run) -> Point:
    return Point(run.lam, run.tuned)
