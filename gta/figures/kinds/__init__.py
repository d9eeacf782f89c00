"""The kinds of figures, a file each; ``FigureKind`` says how to write one. No matplotlib here."""

from gta.figures.kinds.base import FigureKind

__all__ = ["FigureKind"]
