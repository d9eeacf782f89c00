"""Style shared by all figures, readable in print and in grey, and their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from gta.files import atomic_write

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LOOK: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a title is a dollar
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "gta",
    "figure.dpi": 100.0,
}


# Without times and versions, which would make equal figures differ.
METADATA: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


@contextmanager
def look() -> Iterator[None]:
    """Draw in the look of all figures."""
    with mpl.rc_context(LOOK):
        yield


def colours(count: int) -> list[tuple[float, float, float]]:
    """Colours for an ordered field: even steps of lightness, safe for the colour-blind."""
    # the lightest would vanish on paper
    return [tuple(colour) for colour in sns.color_palette("viridis", count + 1)[:count]]


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.pdf``, ``stem.png`` and ``stem.svg``; equal figures give equal files."""
    written = []
    for ending, metadata in METADATA.items():
        path = stem.with_name(f"{stem.name}.{ending}")
        # Into memory first: on a full disk matplotlib's PDF writer fails with another error.
        buffer = BytesIO()
        with look():
            figure.savefig(buffer, format=ending, dpi=200, bbox_inches="tight", metadata=metadata)
        with atomic_write(path) as hidden:
            hidden.write_bytes(buffer.getvalue())
        written.append(path)
    return written
