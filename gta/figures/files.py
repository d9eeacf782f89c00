"""Drawing a study's figures from its files, and writing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from gta import files
from gta.figures.kinds import FigureKind
from gta.figures.style import save
from gta.study import Study
from gta.tables import Collected


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers behind it.

    Attributes:
        figure: matplotlib's.
        numbers: tidy.
    """

    figure: Figure
    numbers: pd.DataFrame


def figure_kind(study: Study, name: str) -> FigureKind:
    """The kind of a figure."""
    kind = study.kind(name)
    assert isinstance(kind, FigureKind)
    return kind


def draw(study: Study, name: str, collected: Collected) -> Drawing:
    """Draw one of a study's figures from what its runs have left.

    Raises:
        GtaError: if a store or weights cannot be opened.
    """
    kind = figure_kind(study, name)
    content = kind.content(study, name, collected)
    return Drawing(kind.draw(study, name, content), kind.numbers(study, name, content))


def make(study: Study, name: str, metrics: pd.DataFrame) -> Figure:
    """Draw one of a study's figures.

    Args:
        study: the study.
        name: of the figure.
        metrics: as ``gta.results.read_collected`` returns them.

    Raises:
        GtaError: if a store or weights cannot be opened.
    """
    return draw(study, name, Collected(study, metrics=metrics)).figure


def write(study: Study, name: str, drawing: Drawing) -> list[Path]:
    """Write ``results/<study>/figures/<figure>.pdf``, ``.png``, ``.svg`` and ``.csv``."""
    stem = study.folder / "figures" / name
    paths = save(drawing.figure, stem)
    table = stem.with_name(f"{name}.csv")
    files.write_text(table, drawing.numbers.to_csv(index=False))
    return [*paths, table]
