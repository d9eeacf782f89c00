"""Writes docs/coverage.md: how often the intervals of gains hold the true gain, by simulation.

Answers of two methods are simulated on the same images with the same seeds. An image is hard or
easy for both, a method has images that suit it, a seed shifts a method's accuracy as a whole, and
every answer has noise of its own; all four are normal on the scale of a probit, so the true gain
is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from docs.make import stamp
from gta.tables import anova
from gta.tables.anova import LEVEL, mean_squares, two_way

PAGE = Path(__file__).resolve().parents[1] / "coverage.md"
COMMAND = "python -m docs.make coverage"
SOURCES = [Path(__file__), Path(anova.__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results
DRAWS = 4000
BLOCK = 500  # studies at a time, which bounds memory
NORMAL = NormalDist()


@dataclass(frozen=True)
class Regime:
    """A pair of methods on one dataset.

    Attributes:
        title: what it is like.
        seeds, images: of a study.
        accuracy: of the baseline, in (0, 1).
        gain: of the other method.
        scatter: standard deviation of an accuracy over seeds, apart from sampling of answers.
        own: deviation of how images suit a method, in units of the noise of an answer.
        difficulty: deviation of how hard images are, in these units.
    """

    title: str
    seeds: int
    images: int
    accuracy: float
    gain: float
    scatter: float
    own: float = 0.3
    difficulty: float = 2.0


# Deviations as the paper prints them at 15 % (.3 to .7 points) and 100 % (.05 to .3), and as in
# the embedded study (about 1 point).
REGIMES = (
    Regime("little training data: CUB at 15 %", 3, 3000, 0.42, 0.08, 0.005),
    Regime("high accuracy: Pets at 100 %", 3, 3669, 0.93, 0.005, 0.002),
    Regime("no gain", 3, 2000, 0.80, 0.0, 0.004),
    Regime("seeds scatter", 3, 1000, 0.70, 0.02, 0.015),
    Regime("seeds scatter strongly", 3, 1000, 0.60, 0.02, 0.05),
    Regime("the embedded study", 3, 980, 0.71, 0.03, 0.01, own=0.6),
)
EDGES = (
    Regime("two seeds", 2, 980, 0.71, 0.03, 0.01, own=0.6),
    Regime("ten seeds", 10, 980, 0.71, 0.03, 0.01, own=0.6),
    Regime("seeds alike, a limit", 3, 1000, 0.80, 0.0, 0.0),
)


def simulate(regime: Regime, draws: int, seed: int) -> NDArray[np.int8]:
    """Differences of ``draws`` studies, (draws, S, N): 1, 0 or -1."""
    generator = np.random.default_rng(seed)
    shape = (draws, regime.seeds, regime.images)
    difficulty = regime.difficulty * generator.standard_normal((draws, 1, shape[2]), np.float32)

    def right(accuracy: float, own: float) -> NDArray[np.bool_]:
        quantile = NORMAL.inv_cdf(accuracy)
        spread = (1 + regime.difficulty**2 + own**2) ** 0.5
        shift = regime.scatter / NORMAL.pdf(quantile) * spread
        level = quantile * (spread**2 + shift**2) ** 0.5
        answers = difficulty + generator.standard_normal(shape, np.float32)
        answers += own * generator.standard_normal((draws, 1, shape[2]), np.float32)
        answers += np.float32(shift) * generator.standard_normal((draws, shape[1], 1), np.float32)
        return answers > -level

    ours = right(regime.accuracy + regime.gain, regime.own).astype(np.int8)
    return ours - right(regime.accuracy, 0.0)


@dataclass(frozen=True)
class Coverage:
    """What the intervals of a regime did.

    Attributes:
        held: share that held the true gain.
        away: share that lay on one side of zero.
        width: median of half their width, in points of accuracy.
        truncated: share whose estimate of the seeds' variance was set to 0.
    """

    held: float
    away: float
    width: float
    truncated: float


def coverage(regime: Regime, draws: int = DRAWS) -> Coverage:
    """Simulate studies and count."""
    held, away, halves, truncated = [], [], [], []
    for block in range(0, draws, BLOCK):
        given = simulate(regime, min(BLOCK, draws - block), seed=block)
        _, low, high, _, _ = two_way(given)
        squares = mean_squares(given)
        held += list((low <= regime.gain) & (regime.gain <= high))
        away += list((low > 0) | (high < 0))
        halves += list((high - low) / 2)
        truncated += list(squares.seed < squares.residual)
    return Coverage(
        float(np.mean(held)),
        float(np.mean(away)),
        100 * float(np.median(halves)),
        float(np.mean(truncated)),
    )


def write() -> None:
    """Write docs/coverage.md."""
    lines = [
        stamp.head(COMMAND, SOURCES, VERSIONS),
        "# Coverage of the intervals of gains",
        "",
        f"A gain's {100 * LEVEL:g} % interval comes from the two-way random-effects model of the "
        "differences between two methods, image by image and seed by seed (`gta/tables/anova.py`): "
        "V = (MS_seed + MS_image - MS_residual) / (S N), with Satterthwaite's degrees of freedom; "
        "a negative estimate of the seeds' variance counts as 0. Here it is tried on simulated "
        f"studies, {DRAWS:,} each, whose true gain is known: `{COMMAND}`.",
        "",
        "| regime | seeds | images | baseline (%) | gain | scatter over seeds | holds the gain | "
        "excludes zero | half width | seeds' variance set to 0 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for regime in (*REGIMES, *EDGES):
        found = coverage(regime)
        cells = [
            regime.title,
            f"{regime.seeds}",
            f"{regime.images:,}",
            f"{100 * regime.accuracy:.0f}",
            f"{100 * regime.gain:.1f}",
            f"{100 * regime.scatter:.1f}",
            f"{100 * found.held:.1f} %",
            f"{100 * found.away:.1f} %",
            f"{found.width:.2f}",
            f"{100 * found.truncated:.0f} %",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Gain, scatter and half width in points of accuracy. Where there is no gain, an interval "
        "that excludes zero is a false mark. Two or three seeds leave an interval wide where seeds "
        "scatter: that is the price of a claim about seeds that were not run. The intervals know "
        "nothing of the choice of λ: a λ chosen by test accuracy inflates a gain, one chosen on "
        "held-out images does not.",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
