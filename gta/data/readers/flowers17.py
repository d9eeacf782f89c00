"""Oxford 17 Flowers (Nilsback and Zisserman 2006): 17 classes of 80 photographs, 846 with masks.

Two layouts, each with images ``image_0001.jpg`` to ``image_1360.jpg``, 80 in a row for each class:

- ``source/data`` of github.com/jxng1/flower-segmentation: ``images_256`` and ``labels_256``, both
  squeezed to 256 x 256 pixels;
- the publisher's ``jpg`` (of 17flowers.tgz) and ``trimaps`` (of trimaps.tgz), at full size.

Masks are palette PNGs: 0 void, 1 flower, 2 leaves, 3 background, 4 sky; a few stray pixels hold 5.
Only the flower counts as the object.

Of each class 40 images are for testing, 10 are held out and 30 are for training. Images with masks
come first, in an order fixed by the file names, so that 605 test images have a mask. The
publisher's datasplits.mat is not read: it leaves 20 test images a class and was drawn regardless of
masks. Both layouts give the same split.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gta.data.readers.listing import Entry, Listing, MaskIds, find_root, has_root
from gta.errors import GtaError

CLASSES = (
    "daffodil",
    "snowdrop",
    "lily of the valley",
    "bluebell",
    "crocus",
    "iris",
    "tigerlily",
    "tulip",
    "fritillary",
    "sunflower",
    "daisy",
    "coltsfoot",
    "dandelion",
    "cowslip",
    "buttercup",
    "windflower",
    "pansy",
)
PER_CLASS = 80
TEST, HELDOUT = 40, 10  # images of each class; the others are for training
LAYOUTS = (  # folders of images and of masks
    ("source/data/images_256", "source/data/labels_256"),
    ("images_256", "labels_256"),
    ("jpg", "trimaps"),
)
MASK_IDS = MaskIds(objects=frozenset({1}), background=frozenset({2, 3, 4}), void=frozenset({0, 5}))
_NAME = re.compile(r"image_(\d{4})$")


def read(folder: Path) -> Listing:
    """List the images of 17 Flowers; see ``gta.data.readers.read``."""
    images, masks = _folders(folder)
    numbered = {_number(path): path for path in images.glob("image_*.jpg")}
    missing = sorted(set(range(1, len(CLASSES) * PER_CLASS + 1)) - numbered.keys())
    if missing:
        raise GtaError(
            f"{images}: {len(missing)} of the {len(CLASSES) * PER_CLASS} images are missing, the "
            f"first is image_{missing[0]:04d}.jpg; unpack the archive again"
        )
    entries: list[Entry] = []
    for label in range(len(CLASSES)):
        numbers = range(label * PER_CLASS + 1, (label + 1) * PER_CLASS + 1)
        files = [(numbered[n], masks / f"{numbered[n].stem}.png") for n in numbers]
        order = sorted(files, key=lambda file: (not file[1].exists(), _rank(file[0].stem)))
        splits = {path: _split(place) for place, (path, _) in enumerate(order)}
        entries += [
            Entry(path.stem, path, label, splits[path], mask if mask.exists() else None)
            for path, mask in files
        ]
    return Listing(list(CLASSES), entries, MASK_IDS)


def _folders(folder: Path) -> tuple[Path, Path]:
    """The folders of images and masks, in whichever layout is there."""
    for images, masks in LAYOUTS:
        if has_root(folder, images, masks):
            root = find_root(folder, images, masks, what="17 Flowers")
            return root / images, root / masks
    layouts = " nor ".join(f"{images}/ and {masks}/" for images, masks in LAYOUTS[1:])
    raise GtaError(f"{folder}: does not hold 17 Flowers (neither {layouts})")


def _number(path: Path) -> int:
    found = _NAME.match(path.stem)
    if found is None or not 1 <= int(found[1]) <= len(CLASSES) * PER_CLASS:
        raise GtaError(f"{path}: is not one of image_0001.jpg to image_1360.jpg")
    return int(found[1])


def _rank(name: str) -> str:
    """Place of an image in a random order that no library's generator can change."""
    return hashlib.sha256(f"17 flowers, {name}".encode()).hexdigest()


def _split(place: int) -> str:
    if place < TEST:
        return "test"
    return "heldout" if place < TEST + HELDOUT else "train"
