"""PASCAL VOC 2012, the validation list of its segmentation task: test images with masks.

``VOCdevkit/VOC2012/`` holds ImageSets/Segmentation/val.txt, JPEGImages/ and SegmentationClass/,
palette PNGs whose indices are class ids: 0 background, 1 to 20 the classes, 255 void. The label of
an image is the class with the largest area in its mask.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gta.data.images import decode_mask
from gta.data.readers.listing import Entry, Listing, find_root, read_lines, require_files
from gta.errors import GtaError

LIST = "ImageSets/Segmentation/val.txt"
CLASSES = (  # noqa: SIM905 - as a list, twenty lines
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
VOID = 255


def read(folder: Path) -> Listing:
    """List the images of VOC 2012; see ``gta.data.readers.read``."""
    root = find_root(folder, LIST, "JPEGImages", "SegmentationClass", what="VOCdevkit/VOC2012")
    names = [line for line, _ in read_lines(root / LIST)]
    masks = [root / "SegmentationClass" / f"{name}.png" for name in names]
    require_files(masks)
    entries = [
        Entry(name, root / "JPEGImages" / f"{name}.jpg", _largest(mask), "test", mask)
        for name, mask in zip(names, masks, strict=True)
    ]
    return Listing(list(CLASSES), entries)


def _largest(path: Path) -> int:
    """Label of the class that covers most of a mask."""
    area = np.bincount(decode_mask(path).ravel(), minlength=VOID + 1)
    if area[len(CLASSES) + 1 : VOID].any():
        raise GtaError(f"{path}: has class ids that are neither 0 to {len(CLASSES)} nor {VOID}")
    of_classes = area[1 : len(CLASSES) + 1]
    if not of_classes.any():
        raise GtaError(f"{path}: no pixel is of one of the {len(CLASSES)} classes")
    return int(of_classes.argmax())
