"""Test and held-out images drawn from classes that come without splits."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

from gta.catalog import Drawn
from gta.data.readers.listing import Entry


def draw(entries: list[Entry], drawn: Drawn) -> list[Entry]:
    """Divide the images of each class: ceil(n * percent / 100) for testing, likewise held out.

    An image's place in the draw depends on the seed and its name alone, so that images that are
    added later do not move the others.

    Args:
        entries: images of all classes.
        drawn: percentages and seed.

    Returns:
        The images in the same order, each with its split. At least one of a class trains, if it
        has more than one image.
    """
    by_class: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_class[entry.label].append(entry)
    splits: dict[str, str] = {}
    for members in by_class.values():
        order = sorted(members, key=lambda entry: _rank(entry.name, drawn.seed))
        tests = math.ceil(len(order) * Fraction(str(drawn.test)) / 100)
        heldout = math.ceil(len(order) * Fraction(str(drawn.heldout)) / 100)
        tests = min(tests, max(1, len(order) - 1))
        heldout = min(heldout, max(0, len(order) - 1 - tests))
        for place, entry in enumerate(order):
            splits[entry.name] = (
                "test" if place < tests else "heldout" if place < tests + heldout else "train"
            )
    return [replace(entry, split=splits[entry.name]) for entry in entries]


def _rank(name: str, seed: int) -> str:
    """Place of an image in an order that no library's generator can change."""
    return hashlib.sha256(f"{seed}, {name}".encode("utf-8", "surrogatepass")).hexdigest()
