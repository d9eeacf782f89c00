"""Image files of all kinds become upright RGB; what is damaged is named."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gta.data.images import decode, decode_mask, resize_mask, resize_short_side
from gta.errors import GtaError


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def pixels() -> np.ndarray:
    """Blocks of colour, (24, 36, 3), without symmetry."""
    blocks = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return blocks.repeat(8, axis=0).repeat(9, axis=1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_pixel(pixels, kind):
    np.testing.assert_array_equal(decode(saved(Image.fromarray(pixels), kind)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_close(pixels, kind):
    decoded = decode(saved(Image.fromarray(pixels), kind))
    assert decoded.dtype == np.uint8
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 16


def test_the_ending_says_nothing(pixels, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(decode(path), pixels)


def test_the_pixels_can_be_written_to(pixels):
    decoded = decode(saved(Image.fromarray(pixels), "PNG"))
    decoded[0, 0] = 0
    assert decoded.flags.c_contiguous


def test_grey(pixels):
    grey = pixels[:, :, 0]
    decoded = decode(saved(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(decoded, np.stack([grey] * 3, axis=2))


def test_black_and_white(pixels):
    bits = Image.fromarray(pixels[:, :, 0]).convert("1")
    decoded = decode(saved(bits, "PNG"))
    np.testing.assert_array_equal(decoded[:, :, 1], np.asarray(bits) * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_upper_eight(pixels, kind):
    grey = pixels[:, :, 0].astype(np.uint16) * 256 + 77
    decoded = decode(saved(Image.fromarray(grey), kind))
    np.testing.assert_array_equal(decoded[:, :, 2], pixels[:, :, 0])


def test_grey_of_an_unknown_range_is_an_error():
    fractions = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    with pytest.raises(GtaError, match=r"^a\.tif: damaged image \(.*range is not known"):
        decode(saved(fractions, "TIFF"), "a.tif")
    wide = Image.fromarray(np.full((8, 8), 1 << 20, dtype=np.int32))
    with pytest.raises(GtaError, match="more than 16 bits"):
        decode(saved(wide, "TIFF"))


def test_a_palette(pixels):
    image = Image.fromarray(pixels).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(saved(image, "PNG")), expected)


def test_cmyk(pixels):
    image = Image.fromarray(pixels).convert("CMYK")
    decoded = decode(saved(image, "JPEG", quality=95, subsampling=0))
    assert np.abs(decoded.astype(int) - pixels).mean() < 8


def test_alpha_lies_over_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 0, 50, 255), (200, 0, 50, 0), (0, 100, 255, 51)])
    decoded = decode(saved(image, "PNG"))
    # The naive mixture: alpha * colour + (1 - alpha) * 255, alpha 51 being a fifth.
    np.testing.assert_array_equal(decoded[0, :2], [(200, 0, 50), (255, 255, 255)])
    np.testing.assert_allclose(decoded[0, 2], (204, 224, 255), atol=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(mode):
    image = Image.new(mode, (2, 1))
    transparent: object = 0
    if mode == "P":
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), 1)
    elif mode == "L":
        image.putpixel((1, 0), 50)
    else:
        image.putpixel((1, 0), (40, 50, 60))
        transparent = (0, 0, 0)
    decoded = decode(saved(image, "PNG", transparency=transparent))
    np.testing.assert_array_equal(decoded[0, 0], (255, 255, 255))
    assert decoded[0, 1, 1] == 50


def test_the_first_frame_of_an_animation(pixels):
    first, second = Image.fromarray(pixels), Image.fromarray(255 - pixels)
    moving = saved(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(moving), decode(saved(first, "GIF")))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation(pixels, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(saved(Image.fromarray(pixels), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded, turn(pixels))


def test_the_bottom_is_cut_off_after_turning(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(pixels), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data, crop_bottom=20), np.rot90(pixels, -1)[:-20])
    with pytest.raises(GtaError, match="36 rows, of which 36 are to be cut off"):
        decode(data, crop_bottom=36)


def test_damage_is_named(pixels, tmp_path):
    jpeg, png = (saved(Image.fromarray(pixels), kind) for kind in ("JPEG", "PNG"))
    broken = {
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "header.png": png[:20],
        "flipped.png": png[:60] + bytes(b ^ 255 for b in png[60:80]) + png[80:],
    }
    for name, data in broken.items():
        with pytest.raises(GtaError, match=f"^{name}: damaged image \\(.+\\)$"):
            decode(data, name)
    others = {
        "empty.jpg": (b"", "an empty file"),
        "page.jpg": (b"<!DOCTYPE html><title>404</title>", "a text or HTML page"),
        "drawing.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image that can be read"),
    }
    for name, (data, what) in others.items():
        with pytest.raises(GtaError, match=f"^{name}: {what}"):
            decode(data, name)
    with pytest.raises(GtaError, match=r"gone\.jpg: cannot be read \(No such file"):
        decode(tmp_path / "gone.jpg")


def test_a_file_cut_anywhere_is_an_error_and_nothing_else(pixels):
    png = saved(Image.fromarray(pixels), "PNG")
    ends = png.index(b"IEND") - 4  # what follows holds no pixels
    for length in range(0, ends - 12, 7):
        with pytest.raises(GtaError, match=r"^x\.png: "):
            decode(png[:length], "x.png")


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_a_decompression_bomb_is_refused():
    with pytest.raises(GtaError, match=r"bomb\.png: damaged image \(.*exceeds limit"):
        decode(png_of_size(60_000, 60_000), "bomb.png")


def test_a_photograph_of_over_the_size_that_pillow_warns_of_is_admitted(pixels, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels[:, :, 0].size - 1)
    data = saved(Image.fromarray(pixels), "PNG")
    with pytest.warns(Image.DecompressionBombWarning):
        decoded = decode(data)
    np.testing.assert_array_equal(decoded, pixels)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels[:, :, 0].size // 3)
    with pytest.raises(GtaError, match="exceeds limit"):
        decode(data)


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((40, 60), 20, (20, 30)),
        ((60, 40), 20, (30, 20)),
        ((333, 500), 256, (256, 384)),  # 384.38
        ((375, 500), 256, (256, 341)),  # 341.33
        ((500, 299), 256, (428, 256)),  # 428.09
        ((40, 60), 40, (40, 60)),
        ((40, 60), 64, (40, 60)),  # never larger
        ((1, 9), 1, (1, 9)),
    ],
)
def test_sizes(shape, side, expected):
    image = np.zeros((*shape, 3), dtype=np.uint8)
    assert resize_short_side(image, side).shape == (*expected, 3)
    assert resize_mask(image[:, :, 0], side).shape == expected


def test_resizing_is_what_torchvision_does():
    from torchvision.transforms import InterpolationMode, Resize

    image = np.random.default_rng(1).integers(0, 256, (75, 101, 3)).astype(np.uint8)
    theirs = Resize(32, InterpolationMode.BICUBIC)(Image.fromarray(image))
    np.testing.assert_array_equal(resize_short_side(image, 32), np.asarray(theirs))


def test_a_mask_keeps_its_ids_in_place():
    ids = np.random.default_rng(2).choice([0, 3, 20, 255], (5, 7)).astype(np.uint8)
    large = ids.repeat(9, axis=0).repeat(9, axis=1)
    np.testing.assert_array_equal(resize_mask(large, 5), ids)


def test_a_mask_is_read_as_palette_indices():
    ids = np.asarray([[0, 20, 255], [1, 1, 7]], dtype=np.uint8)
    image = Image.fromarray(ids, mode="P")
    image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    np.testing.assert_array_equal(decode_mask(saved(image, "PNG")), ids)
    np.testing.assert_array_equal(decode_mask(saved(Image.fromarray(ids), "PNG")), ids)
    with pytest.raises(GtaError, match=r"m\.png: a mask of class ids has a palette or is grey"):
        decode_mask(saved(image.convert("RGB"), "PNG"), "m.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "locked.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(GtaError, match=r"locked\.jpg: cannot be read"):
        decode(path)
