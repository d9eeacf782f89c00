"""Fourteen of ImageNet-C's fifteen corruptions, made on the fly.

Strengths are those of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations, ICLR 2019 (hendrycks/robustness, ``make_imagenet_c.py``). That code
needs OpenCV, ImageMagick and scikit-image; this one needs NumPy, SciPy and Pillow, so pixels differ
in rounding and borders. Frost is left out: it needs six photographs.

Lengths in pixels are stated for images of 224 pixels and scale with the image's side.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.signal import oaconvolve

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating]
Corruption = Callable[[Floats, int, Generator], NDArray[Any]]

REFERENCE_SIDE = 224


def corrupt(image: Pixels, corruption: str, severity: int, seed: int = 0) -> Pixels:
    """Corrupt an image.

    Args:
        image: (side, side, 3).
        corruption: a key of ``gta.catalog.CORRUPTIONS``.
        severity: 1 to 5.
        seed: random numbers follow from it, corruption, severity and the image alone: equal
            arguments give equal pixels.

    Returns:
        The corrupted image, of the same shape.

    Raises:
        KeyError: the corruption is unknown.
    """
    digest = hashlib.sha256(f"{seed} {corruption} {severity} ".encode())
    digest.update(image.tobytes())
    random = np.random.default_rng(list(digest.digest()))
    x: Floats = np.asarray(image, dtype=np.float32) / 255
    corrupted = FUNCTIONS[corruption](x, severity - 1, random)
    return np.rint(np.clip(corrupted, 0, 1) * 255).astype(np.uint8)


def gaussian_noise(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Additive Gaussian noise."""
    return x + random.normal(scale=(0.08, 0.12, 0.18, 0.26, 0.38)[level], size=x.shape)


def shot_noise(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Poisson noise of few photons."""
    photons = (60, 25, 12, 5, 3)[level]
    return random.poisson(x * photons) / photons


def impulse_noise(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Salt and pepper, each value for itself."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    drawn = random.random(x.shape)
    return np.where(drawn < amount / 2, 0, np.where(drawn < amount, 1, x))


def defocus_blur(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """A disk as the aperture; a pixel at its edge counts by the share that is covered."""
    radius = _pixels(x, (3, 4, 6, 8, 10)[level])
    reach, parts = int(np.ceil(radius)) + 1, 16
    places = (np.arange(parts * (2 * reach + 1)) + 0.5) / parts - reach - 0.5
    covered = places[:, None] ** 2 + places**2 <= radius**2
    disk = covered.reshape(2 * reach + 1, parts, 2 * reach + 1, parts).mean((1, 3))
    return _convolve(x, disk / disk.sum())


def glass_blur(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Pixels are taken from random places nearby, between two Gaussian blurs.

    All pixels are moved at once, where the reference goes through them one after the other.
    """
    sigma, most, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    side = len(x)
    most = max(1, round(_pixels(x, most)))
    blurred = _gaussian(x, _pixels(x, sigma))
    rows, columns = np.mgrid[:side, :side]
    for _ in range(rounds):
        down, right = random.integers(-most, most, (2, side, side))
        blurred = blurred[np.clip(rows + down, 0, side - 1), np.clip(columns + right, 0, side - 1)]
    return _gaussian(blurred, _pixels(x, sigma))


def motion_blur(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """A camera that moves in a straight line."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level]
    angle = random.uniform(-45, 45)
    return _motion(x, _pixels(x, radius), _pixels(x, sigma), angle)


def zoom_blur(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """A camera that moves towards the object."""
    end, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level]
    factors = np.arange(1, end, step)
    zoomed = [np.stack([_zoomed(x[..., c], z) for c in range(3)], -1) for z in factors]
    return (x + np.sum(zoomed, axis=0)) / (len(factors) + 1)


def fog(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """A plasma fractal, added."""
    amplitude, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[level]
    side = len(x)
    plasma = plasma_fractal(1 << max(1, (side - 1).bit_length()), decay, random)
    highest = x.max()
    return (x + amplitude * plasma[:side, :side, None]) * highest / (highest + amplitude)


def snow(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Flakes that fall aslant, over an image that is whitened."""
    mean, spread, zoom, threshold, radius, sigma, share = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level]
    flakes = _zoomed(random.normal(mean, spread, x.shape[:2]).astype(np.float32), zoom)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    angle = random.uniform(-135, -45)
    flakes = _motion(flakes[..., None], _pixels(x, radius), _pixels(x, sigma), angle)
    grey = x @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    whitened = np.maximum(x, 1.5 * grey[..., None] + 0.5)
    return share * x + (1 - share) * whitened + flakes + np.rot90(flakes, 2)


def brightness(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """The value of HSV is raised; hue and saturation stay."""
    value = x.max(-1, keepdims=True)
    raised = np.clip(value + (0.1, 0.2, 0.3, 0.4, 0.5)[level], 0, 1)
    return np.where(value > 0, x * raised / np.where(value > 0, value, 1), raised)


def contrast(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Each channel is drawn towards its mean."""
    mean = x.mean((0, 1), keepdims=True)
    return (x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[level] + mean


def elastic_transform(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """An affine jitter, and a smooth random displacement of each pixel."""
    amplitude, sigma, jitter = (
        (2, 0.7, 0.1),
        (2, 0.08, 0.2),
        (0.05, 0.01, 0.02),
        (0.07, 0.01, 0.02),
        (0.12, 0.01, 0.02),
    )[level]
    side = len(x)
    # The reference writes 244 where it means 224.
    scale = side * 244 / REFERENCE_SIDE
    centre, arm = side // 2, side // 3
    corners = np.array([[arm, arm], [arm, -arm], [-arm, -arm]]) + centre
    moved = corners + random.uniform(-jitter * scale, jitter * scale, (3, 2))
    # from places in the result to places in the image
    affine = np.linalg.solve(np.c_[moved, np.ones(3)], corners)
    places = np.moveaxis(np.mgrid[:side, :side], 0, -1).astype(np.float64)
    shifts = [
        amplitude * scale * _smooth(random.uniform(-1, 1, (side, side)), sigma * scale)
        for _ in range(2)
    ]
    places = np.stack(shifts, -1) + places
    places = np.concatenate([places, np.ones((side, side, 1))], -1) @ affine
    rows, columns = np.moveaxis(places, -1, 0)
    return np.stack(
        [
            ndimage.map_coordinates(x[..., c], [rows, columns], order=1, mode="reflect")
            for c in range(3)
        ],
        -1,
    )


def pixelate(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """Fewer pixels, shown as squares."""
    side = len(x)
    fewer = max(1, int(side * (0.6, 0.5, 0.4, 0.3, 0.25)[level]))
    small = _picture(x).resize((fewer, fewer), Image.Resampling.BOX)
    return _floats(small.resize((side, side), Image.Resampling.BOX))


def jpeg_compression(x: Floats, level: int, random: Generator) -> NDArray[Any]:
    """JPEG of low quality."""
    file = io.BytesIO()
    _picture(x).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[level])
    return _floats(Image.open(file))


FUNCTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        defocus_blur,
        glass_blur,
        motion_blur,
        zoom_blur,
        snow,
        fog,
        brightness,
        contrast,
        elastic_transform,
        pixelate,
        jpeg_compression,
    )
}


def plasma_fractal(side: int, decay: float, random: Generator) -> NDArray[np.float64]:
    """A height map by the diamond-square algorithm on a torus.

    Args:
        side: a power of two.
        decay: the roughness is divided by it at each halving of the step.
        random: of the heights.

    Returns:
        (side, side), from 0 to 1.
    """
    heights = np.zeros((side, side))
    step, roughness = side, 100.0

    def moved(mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean + roughness * random.uniform(-roughness, roughness, mean.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        below = corners + np.roll(corners, -1, 0)
        heights[half::step, half::step] = moved((below + np.roll(below, -1, 1)) / 4)
        centres = heights[half::step, half::step]
        beside = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = moved(beside / 4)
        above = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = moved(above / 4)
        step, roughness = half, roughness / decay
    heights -= heights.min()
    return heights / heights.max()


def _pixels(x: NDArray[Any], length: float) -> float:
    """A length that is stated for images of 224 pixels."""
    return length * len(x) / REFERENCE_SIDE


def _gaussian(x: NDArray[Any], sigma: float) -> NDArray[Any]:
    return ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest")


def _smooth(field: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    smoothed: NDArray[np.float64] = ndimage.gaussian_filter(
        field, sigma, mode="reflect", truncate=3
    )
    return smoothed


def _convolve(x: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[Any]:
    reach = len(kernel) // 2
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    return oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))


def _motion(x: NDArray[Any], radius: float, sigma: float, angle: float) -> NDArray[Any]:
    """Mean along a line that begins at each pixel, weighted by half a Gaussian."""
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    radians = np.deg2rad(angle)
    rows, columns = np.mgrid[: x.shape[0], : x.shape[1]]
    out = np.zeros(x.shape, dtype=np.float64)
    for step, weight in zip(steps, weights, strict=True):
        down, right = round(step * np.sin(radians)), round(step * np.cos(radians))
        at = np.clip(rows + down, 0, len(x) - 1), np.clip(columns + right, 0, x.shape[1] - 1)
        out += weight * x[at]
    return out


def _zoomed(channel: Floats, factor: float) -> NDArray[np.float32]:
    """The centre of a (side, side) channel, enlarged to the whole."""
    side = len(channel)
    kept = side / factor
    low = (side - kept) / 2
    picture = Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
    box = (low, low, low + kept, low + kept)
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box))


def _picture(x: Floats) -> Image.Image:
    return Image.fromarray(np.rint(x * 255).astype(np.uint8))


def _floats(picture: Image.Image) -> Floats:
    return np.asarray(picture, dtype=np.float32) / 255
