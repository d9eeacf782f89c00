"""Figures of attention maps: test images in rows, models in columns (figures 1 and B1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gta.figures.kinds.base import FigureKind
from gta.study.kinds import Input

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.figures.panels import Panels
    from gta.study import Study
    from gta.tables import Collected


class Maps(FigureKind):
    """[cls] attention of the last block of the source and of each cell, at its lambda."""

    name: ClassVar[str] = "maps"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "source", "stores")
    weights: ClassVar[bool] = True

    def content(self, study: Study, name: str, collected: Collected) -> Panels:
        """Images and maps."""
        from gta.figures.gather import map_rows  # torch

        return map_rows(study, name, collected.metrics)

    def draw(self, study: Study, name: str, content: Panels) -> Figure:
        """As ``draw_maps`` draws them."""
        from gta.figures.panels import draw_maps

        return draw_maps(content.rows, content.titles)

    def numbers(self, study: Study, name: str, content: Panels) -> pd.DataFrame:
        """As ``panel_numbers`` lists them."""
        from gta.figures.panels import panel_numbers

        return panel_numbers(content)
