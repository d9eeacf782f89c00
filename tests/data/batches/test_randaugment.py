"""RandAugment against timm's own, which draws from the global generators as it goes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment

from gta.data.batches.randaugment import RandAugment

FILL, BICUBIC = (124, 116, 104), Image.Resampling.BICUBIC
DEIT = "rand-m9-mstd0.5-inc1"


def pictures(count: int, side: int = 24) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    made = rng.integers(0, 256, (count, side // 4, side // 4, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((side, side), BICUBIC) for pixels in made]


@pytest.fixture
def lenient_posterize(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's rule for no bits before version 13, which timm's policies are made for."""
    given = auto_augment.ImageOps.posterize

    def posterize(image: Image.Image, bits: int) -> Image.Image:
        return given(image, bits) if bits > 0 else Image.fromarray(np.asarray(image) & 0)

    monkeypatch.setattr(auto_augment.ImageOps, "posterize", posterize)


@pytest.mark.parametrize(
    "policy",
    [
        DEIT,
        "rand-m9",
        "rand-m1-n4",
        "rand-m0-p1-n5",
        "rand-m10-n3-p1-inc1",
        "rand-m5-n0",
        "rand-m7-mstd101-p0.9",
        "rand-m14-mmax20-mstd1-n3-inc1",
    ],
)
@pytest.mark.usefixtures("lenient_posterize")
def test_images_are_timms_bit_for_bit(policy: str) -> None:
    images = pictures(150)
    seed = 2**62 + 5
    settings = {"img_mean": FILL, "interpolation": BICUBIC}
    theirs = auto_augment.rand_augment_transform(policy, settings)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    expected = [np.asarray(theirs(image)) for image in images]
    changed = 0
    drawn = RandAugment(policy, FILL, BICUBIC).draw(seed, len(images))
    for image, operations, wanted in zip(images, drawn, expected, strict=True):
        picture = image
        for operation in operations:
            picture = operation(picture)
        np.testing.assert_array_equal(np.asarray(picture), wanted)
        changed += not np.array_equal(wanted, np.asarray(image))
    assert changed > 50 or policy.endswith("n0")


def test_no_bits_kept_is_black_whatever_pillow_says() -> None:
    (image,) = pictures(1)
    strongest = RandAugment("rand-m10-p1-inc1", FILL, BICUBIC)
    outcomes = [
        np.asarray(operation(image))
        for operations in strongest.draw(0, 50)
        for operation in operations
    ]
    assert sum(not pixels.any() for pixels in outcomes) in range(1, 20)


def test_nothing_but_the_seed_decides_and_global_generators_stay() -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), str(np.random.get_state())
    images = pictures(40)
    policy = RandAugment(DEIT, FILL, BICUBIC)

    def seen(seed: int) -> list[bytes]:
        made = []
        for image, operations in zip(images, policy.draw(seed, len(images)), strict=True):
            for operation in operations:
                image = operation(image)
            made.append(np.asarray(image).tobytes())
        return made

    first = seen(3)
    random.seed(2)
    assert seen(3) == first
    assert seen(4) != first
    random.seed(1)
    assert (random.getstate(), str(np.random.get_state())) == before
