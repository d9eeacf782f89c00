"""Corruptions against independent statements of each, where there is one in a few lines."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from PIL import Image

from gta.catalog import CORRUPTIONS
from gta.robustness import corrupt
from gta.robustness.corruptions import FUNCTIONS, plasma_fractal

SEVERITIES = range(1, 6)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A photograph's statistics: smooth colours, edges, dark and bright parts; (64, 64, 3)."""
    rows, columns = np.mgrid[:64, :64] / 64
    x = np.stack([rows, columns, 0.5 + 0.4 * np.sin(9 * rows * columns)], -1)
    x[20:40, 16:44] = (0.9, 0.2, 0.1)
    return np.rint(255 * x).astype(np.uint8)


def test_each_of_the_catalog_has_its_function():
    assert [*FUNCTIONS] == [*CORRUPTIONS]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_function_of_its_arguments_that_changes_more_with_severity(image, corruption):
    harm = []
    for severity in SEVERITIES:
        found = corrupt(image, corruption, severity, seed=3)
        assert found.shape == image.shape
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, corrupt(image, corruption, severity, 3))
        harm.append(np.abs(found.astype(float) - image).mean())
    assert harm[0] > 0
    # The reference's own strengths are not in order everywhere: fog, elastic, glass.
    assert max(harm[2:]) > harm[0] or corruption == "elastic_transform"


@pytest.mark.parametrize(
    "corruption", ["gaussian_noise", "shot_noise", "snow", "elastic_transform"]
)
def test_another_seed_severity_or_image_draws_anew(image, corruption):
    first = corrupt(image, corruption, 3)
    for severity, seed in ((4, 0), (3, 1)):
        assert (corrupt(image, corruption, severity, seed) != first).any()
    lighter = np.minimum(image, 254) + 1
    changes = corrupt(lighter, corruption, 3).astype(int) - first
    assert np.abs(changes).max() > 3  # more than the lighter image alone would


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (3, 0.18)])
def test_noise_has_its_deviation(severity, deviation):
    grey = np.full((128, 128, 3), 128, np.uint8)  # far from the borders, where nothing is clipped
    found = corrupt(grey, "gaussian_noise", severity) / 255
    assert found.std() == pytest.approx(deviation, rel=0.03)  # of 49,152 values: 0.3 % is a sigma
    shot = corrupt(grey, "shot_noise", severity) / 255
    photons = {1: 60, 3: 12}[severity]
    assert shot.std() == pytest.approx(np.sqrt(128 / 255 / photons), rel=0.05)  # clipped at 1


def test_impulse_noise_is_salt_and_pepper_in_equal_parts():
    grey = np.full((128, 128, 3), 100, np.uint8)
    found = corrupt(grey, "impulse_noise", 5)
    shares = [(found == value).mean() for value in (0, 255, 100)]
    np.testing.assert_allclose(shares, [0.135, 0.135, 0.73], atol=0.008)


def test_brightness_is_the_value_of_hsv(image):
    found = corrupt(image, "brightness", 2)
    for row, column in ((0, 0), (5, 60), (30, 30), (63, 63)):
        h, s, v = colorsys.rgb_to_hsv(*(image[row, column] / 255))
        expected = colorsys.hsv_to_rgb(h, s, min(1, v + 0.2))
        np.testing.assert_allclose(found[row, column] / 255, expected, atol=0.6 / 255)
    assert (corrupt(np.zeros_like(image), "brightness", 2) == 51).all()


def test_contrast_is_about_the_mean_of_a_channel(image):
    x = image / 255
    mean = x.mean((0, 1))
    expected = 255 * ((x - mean) * 0.2 + mean)
    np.testing.assert_allclose(corrupt(image, "contrast", 3), expected, atol=0.51)


def test_jpeg_and_pixels_are_those_of_pillow(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=7)
    np.testing.assert_array_equal(corrupt(image, "jpeg_compression", 5), Image.open(file))
    small = Image.fromarray(image).resize((16, 16), Image.Resampling.BOX)
    expected = small.resize((64, 64), Image.Resampling.BOX)
    np.testing.assert_array_equal(corrupt(image, "pixelate", 5), expected)


@pytest.mark.parametrize(
    "corruption", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform"]
)
def test_blurs_leave_a_constant_image(corruption):
    constant = np.full((48, 48, 3), (10, 120, 250), np.uint8)
    for severity in SEVERITIES:
        found = corrupt(constant, corruption, severity)
        np.testing.assert_allclose(found, constant, atol=1)


def test_defocus_spreads_a_point_to_a_disk():
    point = np.zeros((224, 224, 3), np.uint8)
    point[112, 112] = 255
    bright = np.full((224, 224, 3), 255, np.uint8) - point
    lost = 255 - corrupt(bright, "defocus_blur", 3)[..., 0].astype(int)
    rows, columns = np.nonzero(lost)
    assert np.hypot(rows - 112, columns - 112).max() <= 7  # radius 6, antialiased
    assert lost.sum() == pytest.approx(255, rel=0.25)  # each of 113 pixels is rounded


def test_plasma_is_from_zero_to_one_and_rougher_with_less_decay():
    smooth, rough = (plasma_fractal(64, decay, np.random.default_rng(0)) for decay in (3.0, 1.2))
    for heights in (smooth, rough):
        assert (heights.min(), heights.max()) == (0, 1)
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(smooth)).mean()
