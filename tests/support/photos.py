"""Folders of photographs for tests, rendered: a bright object of a class's shape on noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("bar", "disc", "frame", "wedge")


def photo(kind: str, random: np.random.Generator, side: int = 96) -> Image.Image:
    """An image of one class, with noise behind it."""
    noise = random.integers(0, 110, (side, side + 20, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    x, y = (int(value) for value in random.integers(8, side // 2, 2))
    size = int(random.integers(side // 4, side // 2 - 4))
    colour = tuple(int(value) for value in random.integers(150, 256, 3))
    box = (x, y, x + size, y + size)
    if kind == "bar":
        draw.rectangle((x, y, x + size, y + size // 4), fill=colour)
    elif kind == "disc":
        draw.ellipse(box, fill=colour)
    elif kind == "frame":
        draw.rectangle(box, outline=colour, width=4)
    else:
        draw.polygon([(x, y + size), (x + size, y + size), (x + size // 2, y)], fill=colour)
    return image


def folder_of_classes(folder: Path, per_class: int = 12, seed: int = 0) -> Path:
    """``folder/<class>/<n>.png``."""
    random = np.random.default_rng(seed)
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for number in range(per_class):
            photo(kind, random).save(folder / kind / f"{number:03d}.png")
    return folder
