"""Figures 1, B1 and 3: images in rows, models in columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gta.attention.maps import overlay
from gta.figures.style import look

Pixels = NDArray[np.uint8]
SIZE = 1.15  # inches a panel
LUMA = (0.299, 0.587, 0.114)  # BT.601
PALE = 0.6  # contrast that is left under a map
NAME = 26  # characters under an image
DIMMED = 0.3  # brightness that is left outside a mask


@dataclass(frozen=True)
class Shown:
    """Attention or mask of one model on one image.

    Attributes:
        values: (h, w) attention, or a bool mask; None where the model is missing.
        label: small text under it.
    """

    values: NDArray[np.float32] | NDArray[np.bool_] | None
    label: str = ""


@dataclass(frozen=True)
class Row:
    """One image and each model's attention on it.

    Attributes:
        image: (h, w, 3) uint8.
        shown: one for each model.
        title: text at its left.
        mask: (h, w) bool, the object; None where it is not drawn.
        name: of the image, small text under it.
    """

    image: Pixels
    shown: Sequence[Shown]
    title: str = ""
    mask: NDArray[np.bool_] | None = None
    name: str = ""


class Panels(NamedTuple):
    """Titles of the models (columns), and the images with what each model shows (rows)."""

    titles: list[str]
    rows: list[Row]


def panel_numbers(panels: Panels) -> pd.DataFrame:
    """A row for each image and model: ``dataset, image, model, shown`` (lambda, IoU)."""
    found = [
        [row.title, row.name, " ".join(title.split()), "missing" if s.values is None else s.label]
        for row in panels.rows
        for title, s in zip(panels.titles, row.shown, strict=True)
    ]
    return pd.DataFrame(found, columns=["dataset", "image", "model", "shown"])


def draw_maps(rows: Sequence[Row], models: Sequence[str]) -> Figure:
    """Draw attention in red over the images, each map on its own scale (figures 1 and B1).

    Under the maps the images are pale and grey, so that red is attention and nothing else, and
    dark where the figure is printed in grey.
    """

    def draw(panel: Axes, row: Row, values: NDArray[np.float32]) -> None:
        grey = row.image @ np.array(LUMA)
        pale = np.rint(255 - PALE * (255 - grey)).astype(np.uint8)
        panel.imshow(overlay(np.stack([pale] * 3, axis=-1), values))

    return _grid(rows, models, draw)


def draw_masks(rows: Sequence[Row], models: Sequence[str], note: str = "") -> Figure:
    """Draw masks: what lies outside is dimmed, the object is outlined (figure 3).

    Args:
        rows: images and masks, each row of one size.
        models: titles of the columns.
        note: small text below all.
    """

    def draw(panel: Axes, row: Row, values: NDArray[np.bool_]) -> None:
        brightness = np.where(values, 1.0, DIMMED)[..., None]
        panel.imshow((row.image * brightness).astype(np.uint8))
        _outline(panel, row.mask)

    figure = _grid(rows, models, draw)
    with look():
        figure.supxlabel(note, fontsize=7)
    return figure


def draw_nothing(reason: str) -> Figure:
    """A figure that says why it is empty."""
    with look():
        figure = Figure(figsize=(6, 1.2))
        figure.text(0.5, 0.5, reason, ha="center", va="center", wrap=True)
    return figure


def _grid(
    rows: Sequence[Row], models: Sequence[str], draw: Callable[[Axes, Row, NDArray], None]
) -> Figure:
    across, down = len(models) + 1, len(rows)
    heights = [row.image.shape[0] / row.image.shape[1] for row in rows]
    with look():
        figure = Figure(figsize=(SIZE * across + 0.3, SIZE * (sum(heights) + 0.12 * down) + 0.5))
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, hspace=0.0, wspace=0.0)
        ratios = {"height_ratios": heights}
        axes = figure.subplots(down, across, squeeze=False, gridspec_kw=ratios)
        for line, row in zip(axes, rows, strict=True):
            for panel in line:
                panel.set(xticks=[], yticks=[])
                panel.spines[:].set_visible(False)
                panel.grid(False)
            line[0].imshow(row.image)
            _outline(line[0], row.mask)
            line[0].set_ylabel(row.title)
            line[0].set_xlabel(_shortened(row.name), fontsize=5, labelpad=1)
            for panel, shown in zip(line[1:], row.shown, strict=True):
                if shown.values is None:
                    panel.imshow(np.full_like(row.image, 235))
                    panel.text(0.5, 0.5, "missing", transform=panel.transAxes, ha="center")
                else:
                    draw(panel, row, shown.values)
                panel.set_xlabel(shown.label, fontsize=7, labelpad=1)
        for panel, title in zip(axes[0], ["Image", *models], strict=True):
            panel.set_title(title, fontsize=9)
    return figure


def _shortened(name: str) -> str:
    """The end of a name, as long as an image is wide."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def _outline(panel: Axes, mask: NDArray[np.bool_] | None) -> None:
    """The border of a mask, white on black so that it shows on any ground."""
    if mask is None:
        return
    for colour, width in (("black", 2.0), ("white", 0.9)):
        panel.contour(mask.astype(float), levels=[0.5], colors=colour, linewidths=width)
