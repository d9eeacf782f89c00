"""Decoding of image files to upright RGB pixels, and resizing."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gta.errors import GtaError

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB
Mask = NDArray[np.uint8]  # (height, width), class ids

# Tried by content, whatever the file's ending says. Formats that start other programs (EPS) or
# fetch other files are left out.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# What Pillow's decoders raise for bytes that are not the image they claim to be.
_DAMAGE = (
    OSError,  # truncated; UnidentifiedImageError is one too
    SyntaxError,  # a broken PNG or JPEG marker
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings in the whole process, whose threads may decode meanwhile.

    They are of large images and odd metadata only; damaged pixels are errors.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(data: bytes | Path, name: str = "", *, crop_bottom: int = 0) -> Pixels:
    """Decode an image file to RGB, upright.

    - The format is told from the content. Of an animation the first frame counts.
    - Grey is repeated over the channels; of 16 bits the upper 8 are kept, as Pillow does for
      16-bit colour; CMYK is converted without a colour profile.
    - Transparent pixels are laid over white, the ground that such pictures are drawn for; the
      colour stored beneath them is arbitrary and must not reach a model.
    - The orientation in EXIF is applied.
    - A photograph of up to 2 x ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million pixels) is admitted.

    Args:
        data: the file, or its bytes.
        name: of the image in messages; the path where none is given.
        crop_bottom: rows to cut off at the bottom of the upright image.

    Returns:
        (height, width, 3) uint8.

    Raises:
        GtaError: if the file cannot be read, is truncated, damaged, of another format, too
            large, or not higher than ``crop_bottom``; it names the image and the reason.
    """
    named = name or _path_name(data)
    with _open(data, named) as image:
        pixels = np.array(_to_rgb(ImageOps.exif_transpose(image)))
    if crop_bottom:
        if crop_bottom >= len(pixels):
            raise GtaError(f"{named}: {len(pixels)} rows, of which {crop_bottom} are to be cut off")
        pixels = pixels[:-crop_bottom]
    return pixels


def decode_mask(data: bytes | Path, name: str = "") -> Mask:
    """Decode a label image: the palette indices (or grey values) as they are stored.

    Args:
        data: the file, or its bytes; PASCAL VOC keeps class ids as indices of a palette PNG.
        name: of the image in messages; the path where none is given.

    Returns:
        (height, width) uint8.

    Raises:
        GtaError: if it cannot be decoded, or is a colour image, whose class ids are lost.
    """
    named = name or _path_name(data)
    with _open(data, named) as image:
        mode, mask = image.mode, np.array(image)
    if mode not in ("P", "L", "1"):
        raise GtaError(f"{named}: a mask of class ids has a palette or is grey, this one is {mode}")
    return mask.astype(np.uint8)


def resize_short_side(pixels: Pixels, side: int) -> Pixels:
    """Shrink an image so that its short side has ``side`` pixels; never enlarge it.

    Pillow's bicubic filter, whose support grows with the reduction (antialiased); the long side
    is cut to whole pixels as in ``torchvision.transforms.Resize``.

    Args:
        pixels: (height, width, 3) uint8.
        side: pixels of the short side, from 1.
    """
    return _resize(pixels, side, Image.Resampling.BICUBIC)


def resize_mask(mask: Mask, side: int) -> Mask:
    """Shrink class ids as ``resize_short_side`` shrinks their image, each pixel's id the nearest.

    Args:
        mask: (height, width) uint8.
        side: pixels of the short side, from 1.
    """
    return _resize(mask, side, Image.Resampling.NEAREST)


def _resize(array: NDArray[np.uint8], side: int, method: Image.Resampling) -> NDArray[np.uint8]:
    height, width = array.shape[:2]
    short = min(height, width)
    if short <= side:
        return array
    size = (width * side // short, height * side // short)
    return np.array(Image.fromarray(array).resize(size, method))


def _path_name(data: bytes | Path) -> str:
    return str(data) if isinstance(data, Path) else "image"


@contextmanager
def _open(data: bytes | Path, named: str) -> Iterator[Image.Image]:
    """An opened image, whose pixels are decoded at first use; damage becomes a ``GtaError``."""
    try:
        if isinstance(data, Path) and data.exists() and not data.is_file():
            raise GtaError(f"{named}: is a folder, device or pipe, not an image file")
        content = data.read_bytes() if isinstance(data, Path) else data
    except OSError as error:
        raise GtaError(f"{named}: cannot be read ({error.strerror or error})") from None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            yield image
    except Image.UnidentifiedImageError:
        raise GtaError(f"{named}: {_what(content)}") from None
    except _DAMAGE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise GtaError(f"{named}: damaged image ({said})") from None


def _what(content: bytes) -> str:
    """Reason why no decoder reads these bytes."""
    if not content:
        return "an empty file"
    if content.lstrip()[:1] == b"<":
        return "a text or HTML page, not an image"
    if content.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the image; `git lfs pull` in its repository gets it"
    return f"not an image that can be read; known are {', '.join(FORMATS)}"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("grey values of more than 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("grey values are fractions, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
