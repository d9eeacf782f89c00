"""Figures of masks from attention beside the object masks (figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gta.figures.kinds.base import FigureKind
from gta.study.kinds import Input

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.figures.panels import Panels
    from gta.study import Study
    from gta.tables import Collected


class Masks(FigureKind):
    """The patches that hold a share of the [cls] attention of the last block, best head."""

    name: ClassVar[str] = "masks"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "source", "masks")
    weights: ClassVar[bool] = True
    masks: ClassVar[bool] = True

    def settings(self, study: Study, name: str) -> dict[str, Any]:
        """The figure's ``figure_settings`` and ``segmentation``."""
        own = super().settings(study, name)
        return {**own, "segmentation": study.config.segmentation.model_dump(mode="json")}

    def content(self, study: Study, name: str, collected: Collected) -> Panels:
        """Images and masks; no rows where no dataset has masks."""
        from gta.figures.gather import mask_rows  # torch

        return mask_rows(study, name, collected.metrics)

    def draw(self, study: Study, name: str, content: Panels) -> Figure:
        """As ``draw_masks`` draws them."""
        from gta.figures.gather import mask_note
        from gta.figures.panels import draw_masks, draw_nothing

        if not content.rows:
            return draw_nothing("No dataset here has object masks.")
        return draw_masks(content.rows, content.titles, mask_note(study))

    def numbers(self, study: Study, name: str, content: Panels) -> pd.DataFrame:
        """As ``panel_numbers`` lists them."""
        from gta.figures.panels import panel_numbers

        return panel_numbers(content)
