"""Charts of the results page: SVG that needs no script and takes the page's colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isnan, log10, nan

from markupsafe import Markup, escape

WIDTH = 360  # units of a panel; it is as wide on a phone
LINE = 24  # units of height a gain
LEFT, RIGHT, TOP, BOTTOM = 52, 58, 8, 26
HEIGHT = 200  # of a panel of accuracies
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus", "down")
PATHS = {
    "square": "M-4-4h8v8h-8z",
    "triangle": "M0-5 5 4h-10z",
    "down": "M0 5 5-4h-10z",
    "diamond": "M0-5.5 5.5 0 0 5.5-5.5 0z",
    "cross": "M-4-4 4 4M-4 4 4-4",
    "plus": "M0-5V5M-5 0H5",
}


@dataclass(frozen=True)
class Gain:
    """A gain with its interval, in points; NaN where one is not known.

    Attributes:
        label: at its left.
        gain, low, high: ours.
        paper: the paper's.
    """

    label: str
    gain: float
    low: float = nan
    high: float = nan
    paper: float = nan


@dataclass(frozen=True)
class Line:
    """Accuracies of one method over rates, in percent; NaN leaves a gap.

    Attributes:
        title: of the method.
        rank: which colour and marker it has.
        values: ours.
        paper: the paper's; empty where they are not drawn.
    """

    title: str
    rank: int
    values: Sequence[float]
    paper: Sequence[float] = ()


def marker(rank: int, x: float, y: float, hollow: bool = False) -> Markup:
    """The marker of a rank, of its colour."""
    shape = SHAPES[rank % len(SHAPES)]
    kind = " hollow" if hollow else ""
    if shape == "circle":
        drawn = Markup('<circle class="mark c{}{}" cx="{:.1f}" cy="{:.1f}" r="4.5"/>')
        return drawn.format(rank % 10, kind, x, y)
    drawn = Markup('<path class="mark c{}{}" transform="translate({:.1f} {:.1f})" d="{}"/>')
    return drawn.format(rank % 10, kind, x, y, PATHS[shape])


def swatch(rank: int) -> Markup:
    """The marker of a rank, for a legend."""
    return Markup('<svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(
        marker(rank, 8, 8)
    )


def range_of(values: Iterable[float], least: float = 1.0) -> tuple[float, float]:
    """The lowest and highest of some numbers, at least so far apart."""
    known = [value for value in values if not isnan(value)] or [0.0]
    low, high = min(known), max(known)
    pad = max(0.0, least - (high - low)) / 2
    return low - pad, high + pad


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers over a range: steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** floor(log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    return [round(step * n, 10) for n in range(ceil(low / step), floor(high / step) + 1)]


def forest(gains: Sequence[Gain], scale: tuple[float, float], rank: int, name: str) -> Markup:
    """Gains in rows, each with its interval, on a scale that holds zero.

    Args:
        gains: the rows.
        scale: lowest and highest gain of all panels.
        rank: of the method.
        name: what the panel shows, for those who do not see it.
    """
    low, high = min(scale[0], 0.0), max(scale[1], 0.0)
    height = TOP + LINE * len(gains) + BOTTOM
    base = height - BOTTOM

    def x(value: float) -> float:
        place = (value - low) / (high - low)
        return LEFT + min(max(place, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    parts = [_grid_x(x, low, high, base)]
    parts.append(Markup('<path class="zero" d="M{0:.1f} {1}V{2}"/>').format(x(0), TOP, base))
    for place, row in enumerate(gains):
        y = TOP + LINE * (place + 0.5)
        parts.append(_text(LEFT - 8, y, row.label, "end"))
        if isnan(row.gain):
            parts.append(_text(WIDTH - 2, y, "missing", "end", "faint"))
            continue
        said = f"{row.gain:+.2f} points"
        if not isnan(row.low):
            said += f", 95 % interval {row.low:+.2f} to {row.high:+.2f}"
            whisker = Markup('<path class="line c{}" d="M{:.1f} {:.1f}H{:.1f}"/>')
            parts.append(whisker.format(rank % 10, x(row.low), y, x(row.high)))
        if not isnan(row.paper):
            said += f"; the paper: {row.paper:+.2f}"
            parts.append(marker(rank, x(row.paper), y, hollow=True))
        parts.append(marker(rank, x(row.gain), y))
        parts.append(_text(WIDTH - 2, y, f"{row.gain:+.1f}", "end"))
        parts.append(_hover(0, y - LINE / 2, WIDTH, LINE, f"{row.label}: {said}"))
    return _svg(height, name, parts)


def over_rates(
    lines: Sequence[Line], labels: Sequence[str], scale: tuple[float, float], name: str
) -> Markup:
    """Accuracy over rates, which stand in equal steps; the paper's hollow and dashed.

    Args:
        lines: the methods.
        labels: of the rates.
        scale: lowest and highest accuracy of the panel.
        name: what the panel shows, for those who do not see it.
    """
    low, high = scale
    base, right = HEIGHT - BOTTOM, 14

    def x(place: int) -> float:
        return LEFT + (place + 0.5) / len(labels) * (WIDTH - LEFT - right)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (base - TOP)

    parts = []
    for tick in ticks(low, high):
        parts.append(
            Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y(tick), WIDTH - right)
        )
        parts.append(_text(LEFT - 8, y(tick), f"{tick:g}", "end", "faint"))
    for place, label in enumerate(labels):
        parts.append(_text(x(place), HEIGHT - 10, label, "middle", "faint"))
    for line in lines:
        for values, paper in ((line.paper, True), (line.values, False)):
            known = [(x(p), y(v), v) for p, v in enumerate(values) if not isnan(v)]
            path = "".join(
                f"{'L' if n else 'M'}{a:.1f} {b:.1f}" for n, (a, b, _) in enumerate(known)
            )
            kind = " paper" if paper else ""
            parts.append(
                Markup('<path class="line c{}{}" d="{}"/>').format(line.rank % 10, kind, path)
            )
            parts += [marker(line.rank, a, b, hollow=paper) for a, b, _ in known]
            whose = " in the paper" if paper else ""
            parts += [
                _hover(a - 9, b - 9, 18, 18, f"{line.title}{whose}: {value:.2f} %")
                for a, b, value in known
            ]
    return _svg(HEIGHT, name, parts)


def _svg(height: float, name: str, parts: Iterable[Markup]) -> Markup:
    opening = Markup('<svg class="chart" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">')
    return opening.format(WIDTH, height, name) + Markup("").join(parts) + Markup("</svg>")


def _grid_x(x: Callable[[float], float], low: float, high: float, base: float) -> Markup:
    parts = []
    for tick in ticks(low, high):
        parts.append(Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x(tick), TOP, base))
        parts.append(_text(x(tick), base + 14, f"{tick:+g}" if tick else "0", "middle", "faint"))
    return Markup("").join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    element = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" dy=".35em" text-anchor="{}">{}</text>')
    return element.format(kind, x, y, anchor, text)


def _hover(x: float, y: float, width: float, height: float, text: str) -> Markup:
    """A place over which a text shows."""
    element = Markup('<rect class="hover" x="{:.1f}" y="{:.1f}" width="{}" height="{}">')
    return element.format(x, y, width, height) + Markup(f"<title>{escape(text)}</title></rect>")
