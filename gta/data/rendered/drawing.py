"""Drawing: bodies with marks on textured backgrounds, many images at once.

All that is drawn comes from one `numpy` generator and is computed in float64, so that a last-bit
difference between two machines' sines all but never changes a rounded pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

SIZE = 48
"""Height and width of an image in pixels."""

Array = npt.NDArray[Any]
_TAU = 2 * np.pi
_Y, _X = np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5

# Marks in their own frame: u to the right, v downwards, about the unit square. |u|, |v| and the
# radius are handed over because most shapes are written with them.
MARKS: dict[str, Callable[[Array, Array, Array, Array, Array], Array]] = {
    "disc": lambda u, v, a, b, r: r < 0.9,
    "square": lambda u, v, a, b, r: np.maximum(a, b) < 0.8,
    "cross": lambda u, v, a, b, r: (np.maximum(a, b) < 1) & ((a < 0.33) | (b < 0.33)),
    "diamond": lambda u, v, a, b, r: a + b < 1.05,
    "ring": lambda u, v, a, b, r: (r < 1) & (r > 0.5),
    "bar": lambda u, v, a, b, r: (a < 0.4) & (b < 1.05),
    "triangle": lambda u, v, a, b, r: (v > -0.7) & (a < (0.9 - v) * 0.55),
    "notch": lambda u, v, a, b, r: (np.maximum(a, b) < 0.9) & ~((a < 0.4) & (b < 0.4)),
    "chevron": lambda u, v, a, b, r: (np.abs(v - 0.45 + a) < 0.4) & (a < 0.95),
    "ell": lambda u, v, a, b, r: (np.maximum(a, b) < 0.9) & ((u < -0.25) | (v > 0.25)),
    "hourglass": lambda u, v, a, b, r: (np.maximum(a, b) < 0.95) & (a < b + 0.12),
    "dome": lambda u, v, a, b, r: (r < 1) & (v > -0.1),
}
MARK_NAMES = tuple(MARKS)


@dataclass(frozen=True)
class Family:
    """Properties that the images of one set share.

    Lengths are in units of the body's scale unless said otherwise; hues are in turns.
    """

    body: str
    """"lobed" (a circle with waves) or "box" (a rounded rectangle)."""
    lobes: tuple[int, ...]
    """Numbers of waves to draw from (lobed bodies only)."""
    amplitude: tuple[float, float]
    """Range of the waves' amplitude, or of the box's elongation."""
    outline: float
    """Brightness of the outline relative to the body."""
    marks: tuple[str, ...]
    """Mark shapes to draw from, names in ``MARKS``."""
    mark_axis: str
    """The two marks sit side by side ("across") or one behind the other ("along")."""
    scale: tuple[float, float] = (12.0, 17.0)
    """Range of the body's scale in pixels."""
    mark_radius: tuple[float, float] = (0.28, 0.36)
    saturation: tuple[float, float] = (0.0, 0.4)
    """Range of the body's colour saturation."""
    strewn: int = 4
    """Marks strewn over the background (each present with probability 0.85)."""
    hue_jitter: float = 0.0
    """Largest change of a mark's hue from one rendering of an object to the next."""


@dataclass(frozen=True)
class Objects:
    """Properties of n objects, one array entry an object; two marks each."""

    lobes: Array  # (n,)
    amplitude: Array  # (n,)
    hue: Array  # (n,) of the body
    saturation: Array  # (n,)
    value: Array  # (n,)
    stripes: Array  # (n,) angular frequency of the body's stripes
    stripe_phase: Array  # (n,)
    mark: Array  # (n, 2) index into MARKS
    mark_hue: Array  # (n, 2)
    mark_offset: Array  # (n, 2) off the axis that the marks sit on
    mark_radius: Array  # (n, 2)

    def __len__(self) -> int:
        return len(self.lobes)

    def take(self, index: slice | Array) -> Objects:
        """The objects at `index`."""
        return Objects(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class Textures:
    """Parameters of n background textures, one array entry a texture."""

    kind: Array  # (n,) 0 stripes, 1 checks, 2 dots, 3 contours
    hue: Array
    saturation: Array
    value: Array
    hue_shift: Array  # of the darker of the two colours
    frequency: Array  # cycles a pixel
    angle: Array  # radians

    def take(self, index: slice | Array) -> Textures:
        """The textures at `index`."""
        return Textures(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def _e(values: Array) -> Array:
    """(n,) to (n, 1, 1), to broadcast over an image."""
    return np.asarray(values)[:, None, None]


def _hsv(hue: Array, saturation: Array | float, value: Array | float) -> Array:
    """HSV in turns and 0..1 to RGB 0..1, (n,) to (n, 3)."""
    hue, saturation, value = np.broadcast_arrays(hue, saturation, value)
    sector = [(n + hue * 6) % 6 for n in (5, 3, 1)]
    dips = [np.clip(np.minimum(k, 4 - k), 0, 1) for k in sector]
    return np.stack([value - value * saturation * dip for dip in dips], axis=-1)


def _wave(fx: Array, fy: Array, phase: Array) -> Array:
    """sin(fx x + fy y + phase) over the image, (n,) each to (n, SIZE, SIZE).

    By the addition theorem: two products a pixel are several times faster than a sine a pixel.
    """
    column, row = fx[:, None] * _X + phase[:, None], fy[:, None] * _Y
    s: Array = np.sin(column)[:, None, :] * np.cos(row)[:, :, None]
    s += np.cos(column)[:, None, :] * np.sin(row)[:, :, None]
    return s


def _clouds(rng: np.random.Generator, n: int, waves: int, cycles: float) -> Array:
    """Smooth noise in 0..1: `waves` plane waves of at most `cycles` cycles an image."""
    total = np.zeros((n, SIZE, SIZE))
    for _ in range(waves):
        fx, fy = rng.uniform(-cycles, cycles, (2, n)) * _TAU / SIZE
        total += _wave(fx, fy, rng.uniform(0, _TAU, n))
    return np.clip(0.5 + total / (2.2 * np.sqrt(waves)), 0, 1)


def random_textures(rng: np.random.Generator, n: int) -> Textures:
    """Any textures."""
    return Textures(
        kind=rng.integers(4, size=n),
        hue=rng.random(n),
        saturation=rng.uniform(0.25, 0.7, n),
        value=rng.uniform(0.35, 0.85, n),
        hue_shift=rng.uniform(-0.12, 0.12, n),
        frequency=rng.uniform(0.12, 0.32, n),
        angle=rng.uniform(0, np.pi, n),
    )


def random_habitats(rng: np.random.Generator, n: int) -> Textures:
    """As many textures as classes; their hues are spread evenly so that they can be told apart."""
    return replace(random_textures(rng, n), hue=rng.permutation(n) / n)


def varied(rng: np.random.Generator, textures: Textures) -> Textures:
    """Variations of the same textures, as seen on different days."""
    n = len(textures.hue)
    return replace(
        textures,
        hue=textures.hue + rng.uniform(-0.03, 0.03, n),
        frequency=textures.frequency * rng.uniform(0.9, 1.1, n),
        angle=textures.angle + rng.uniform(-0.2, 0.2, n),
        value=textures.value + rng.uniform(-0.08, 0.08, n),
    )


def _background(rng: np.random.Generator, t: Textures) -> Array:
    """(n, SIZE, SIZE, 3), about 0..1."""
    n = len(t.hue)
    f, ca, sa = _TAU * t.frequency, np.cos(t.angle), np.sin(t.angle)
    phase = rng.uniform(0, _TAU, (2, n))
    across, along = _wave(f * ca, f * sa, phase[0]), _wave(-f * sa, f * ca, phase[1])
    contours = (_clouds(rng, n, 4, 3.5) * 6) % 1.0
    kind = _e(t.kind)
    pattern = np.select(
        [kind == 0, kind == 1, kind == 2],
        [across > 0, across * along > 0, across + along > 0.9],
        contours,
    )
    light = _hsv(t.hue, t.saturation, t.value)
    dark = _hsv(t.hue + t.hue_shift, t.saturation, t.value * 0.65)
    image = dark[:, None, None] + (light - dark)[:, None, None] * pattern[..., None]
    return np.asarray(image * (0.75 + 0.5 * _clouds(rng, n, 3, 1.5))[..., None])


def _stamp(
    image: Array,
    mark: Array,
    color: Array,
    x: Array,
    y: Array,
    radius: Array,
    angle: Array,
    within: Array | None = None,
) -> None:
    """Paint one mark an image, in place; `within` (n, SIZE, SIZE) limits it."""
    near = (np.abs(_X - _e(x)) < _e(1.5 * radius)) & (
        np.abs(_Y[:, None] - _e(y)) < _e(1.5 * radius)
    )
    i, row, column = np.nonzero(near if within is None else near & within)
    dx, dy = _X[column] - x[i], _Y[row] - y[i]
    ca, sa = np.cos(angle)[i], np.sin(angle)[i]
    u, v = (ca * dx + sa * dy) / radius[i], (ca * dy - sa * dx) / radius[i]
    inside = np.zeros(len(i), dtype=bool)
    for kind in np.unique(mark):
        s = mark[i] == kind
        us, vs = u[s], v[s]
        shape = MARKS[MARK_NAMES[kind]]
        inside[s] = shape(us, vs, np.abs(us), np.abs(vs), np.hypot(us, vs))
    image[i[inside], row[inside], column[inside]] = color[i[inside]]


def random_objects(rng: np.random.Generator, n: int, family: Family) -> Objects:
    """Any objects of the family; the two marks are drawn apart."""
    kinds = np.array([MARK_NAMES.index(m) for m in family.marks])
    return Objects(
        lobes=np.array(family.lobes)[rng.integers(len(family.lobes), size=n)],
        amplitude=rng.uniform(*family.amplitude, n),
        hue=rng.random(n),
        saturation=rng.uniform(*family.saturation, n),
        value=rng.uniform(0.5, 1.0, n),
        stripes=rng.uniform(4, 12, n),
        stripe_phase=rng.uniform(0, _TAU, n),
        mark=kinds[rng.integers(len(kinds), size=(n, 2))],
        mark_hue=rng.random((n, 2)),
        mark_offset=rng.uniform(-0.08, 0.08, (n, 2)),
        mark_radius=rng.uniform(*family.mark_radius, (n, 2)),
    )


def draw(
    rng: np.random.Generator,
    objects: Objects,
    family: Family,
    textures: Textures,
    strewn_hues: Array | None,
) -> tuple[Array, Array]:
    """Images uint8 (n, SIZE, SIZE, 3) and masks bool (n, SIZE, SIZE) of `objects`.

    Pose, clutter, brightness and pixel noise are drawn anew. `strewn_hues` are the hues of the
    strewn marks (None: any).
    """
    n = len(objects)
    image = _background(rng, textures)
    scale, angle = rng.uniform(*family.scale, n), rng.uniform(0, _TAU, n)
    margin = 0.95 * scale
    cx, cy = margin + (SIZE - 2 * margin) * rng.random((2, n))
    kinds = np.array([MARK_NAMES.index(m) for m in family.marks])
    for _ in range(family.strewn):
        hue = rng.random(n)
        if strewn_hues is not None:
            hue = strewn_hues[rng.integers(len(strewn_hues), size=n)] + 0.04 * (hue - 0.5)
        present = rng.random(n) < 0.85
        radius = np.where(present, scale * rng.uniform(*family.mark_radius, n), 1e-3)
        x, y = rng.uniform(0, SIZE, (2, n))
        mark = kinds[rng.integers(len(kinds), size=n)]
        _stamp(image, mark, _hsv(hue, 0.95, 0.95), x, y, radius, rng.uniform(0, _TAU, n))

    ca, sa = np.cos(angle), np.sin(angle)
    dx, dy = (_X - _e(cx)) / _e(scale), (_Y[:, None] - _e(cy)) / _e(scale)
    u, v = _e(ca) * dx + _e(sa) * dy, _e(ca) * dy - _e(sa) * dx
    if family.body == "lobed":
        waves = np.cos(_e(objects.lobes) * np.arctan2(v, u))
        depth = 0.85 * (1 + _e(objects.amplitude) * waves) - np.hypot(u, v)
    else:  # a superellipse of power 4
        stretch = _e(objects.amplitude)
        depth = 0.85 - ((u / (1 + stretch)) ** 4 + (v / (1 - stretch)) ** 4) ** 0.25
    mask = depth > 0
    outline = mask & (depth < 0.16)
    color = _hsv(objects.hue, objects.saturation, objects.value)[:, None, None]
    f = objects.stripes / scale
    striped = _wave(f * ca, f * sa, objects.stripe_phase - f * (ca * cx + sa * cy)) > 0
    shade = np.where(outline, family.outline, 0.78 + 0.22 * striped)
    image = np.where(mask[..., None], color * shade[..., None], image)
    for j, position in enumerate((-0.32, 0.32)):
        mu, mv = np.full(n, position), objects.mark_offset[:, j]
        if family.mark_axis == "along":
            mu, mv = mv, mu
        x, y = cx + scale * (ca * mu - sa * mv), cy + scale * (sa * mu + ca * mv)
        mark_color = _hsv(objects.mark_hue[:, j], 0.95, 0.95)
        radius = scale * objects.mark_radius[:, j]
        _stamp(image, objects.mark[:, j], mark_color, x, y, radius, angle, mask & ~outline)
    image *= _e(rng.uniform(0.9, 1.1, n))[..., None]
    image += 0.03 * rng.standard_normal(image.shape)
    return np.round(image.clip(0, 1) * 255).astype(np.uint8), mask
