"""Rendered images for the mini study: an upstream corpus for the sources and two downstream sets.

Every image shows one outlined body that carries two small marks, on a textured background over
which marks of the same shapes and hues are strewn. The marks on the body decide the class, so
whoever attends to the background is either misled (strewn marks) or takes a short cut (in the
training split a class has a habitat, a background of its own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gta.data.rendered.drawing import (
    MARK_NAMES,
    MARKS,
    SIZE,
    Array,
    Family,
    Objects,
    draw,
    random_habitats,
    random_objects,
    random_textures,
    varied,
)
from gta.errors import GtaError

__all__ = [
    "HELDOUT_IMAGES",
    "MARKS",
    "PER_CLASS",
    "SETS",
    "SIZE",
    "TEST_IMAGES",
    "UPSTREAM",
    "Corpus",
    "Family",
    "Objects",
    "Rendered",
    "digest",
    "render",
    "upstream",
]

Progress = Callable[[int, int], None]
"""Called as ``progress(images_done, images_in_all)``."""

_CHUNK = 125  # images drawn together: keeps the float64 canvases within the cache's reach

UPSTREAM = Family(
    body="lobed",
    lobes=(0, 2, 3, 4, 5),
    amplitude=(0.12, 0.3),
    outline=0.25,
    marks=("disc", "square", "cross", "diamond"),
    mark_axis="across",
    hue_jitter=0.05,
)
SETS = {
    "mini_near": Family(
        body="lobed",
        lobes=(3,),
        amplitude=(0.2, 0.21),
        outline=0.25,
        marks=("ring", "bar", "triangle", "notch"),
        mark_axis="across",
    ),
    "mini_far": Family(
        body="box",
        lobes=(0,),
        amplitude=(0.0, 0.25),
        outline=0.6,
        marks=("chevron", "ell", "hourglass", "dome"),
        mark_axis="along",
    ),
}
"""The downstream sets: mark shapes no source has seen, on a body they know (near) or not (far)."""

CLASSES = 14
"""Classes of a downstream set; their hues are 1 / CLASSES of a turn apart."""
HABITAT_SHARE = 0.5
"""Share of a class's training images with the class's own habitat (the others: any class's)."""
PER_CLASS, HELDOUT_IMAGES, TEST_IMAGES = 45, 280, 980


@dataclass(frozen=True)
class Rendered:
    """A downstream set, n images: all of the training split, then heldout, then test."""

    images: npt.NDArray[np.uint8]  # (n, SIZE, SIZE, 3)
    masks: npt.NDArray[np.bool_]  # (n, SIZE, SIZE) the object's pixels
    labels: npt.NDArray[np.int64]  # (n,)
    split: npt.NDArray[np.str_]  # (n,) "train", "heldout" or "test"
    classes: list[str]


@dataclass(frozen=True)
class Corpus:
    """The upstream corpus: n objects, each rendered several times (views)."""

    images: npt.NDArray[np.uint8]  # (n, views, SIZE, SIZE, 3)
    masks: npt.NDArray[np.bool_]  # (n, views, SIZE, SIZE)
    objects: Objects

    @property
    def digest(self) -> str:
        """sha256 of images and masks."""
        return digest(self.images, self.masks)


def digest(*arrays: Array) -> str:
    """sha256 over the dtypes, shapes and bytes of `arrays`, in hexadecimal."""
    state = hashlib.sha256()
    for array in arrays:
        array = array.astype("<U7") if array.dtype.kind == "U" else array
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _slices(n: int) -> Iterator[slice]:
    return (slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK))


def render(
    name: str,
    seed: int,
    *,
    per_class: int = PER_CLASS,
    heldout_images: int = HELDOUT_IMAGES,
    test_images: int = TEST_IMAGES,
    progress: Progress | None = None,
) -> Rendered:
    """Render the downstream set `name` ("mini_near" or "mini_far"); a pure function.

    A class is the hue of the object's two marks, which have the first of the family's mark shapes;
    the strewn marks have any of its shapes and any class's hue. In the training split a class's
    own habitat is its background in `HABITAT_SHARE` of the images and any class's in the others;
    in the heldout and test splits the background is any class's.

    Args:
        name: a key of `SETS`.
        seed: data seed. Splits, and the same split with other sizes, share the class's habitats.
        per_class: training images of a class.
        heldout_images: images of the heldout split; classes take turns.
        test_images: images of the test split; classes take turns.
        progress: told how many images are done, of how many.

    Raises:
        GtaError: no such set, or a size below 1.
    """
    if name not in SETS:
        raise GtaError(f"no rendered dataset {name!r}; there are: {', '.join(SETS)}")
    if min(per_class, heldout_images, test_images) < 1:
        raise GtaError(f"{name}: every split needs at least one image (a class)")
    family, number = SETS[name], list(SETS).index(name)
    hues = np.arange(CLASSES) / CLASSES + 0.03
    # One stream a split, so that a split's images do not depend on the sizes of the others.
    streams = [np.random.Generator(np.random.PCG64([seed, number, i])) for i in range(4)]
    habitats = random_habitats(streams[0], CLASSES)
    sizes = {"train": per_class * CLASSES, "heldout": heldout_images, "test": test_images}
    total, done = sum(sizes.values()), 0
    images = np.empty((total, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((total, SIZE, SIZE), np.bool_)
    labels = np.concatenate([np.arange(n) % CLASSES for n in sizes.values()])
    for rng, (split, size) in zip(streams[1:], sizes.items(), strict=True):
        for part in _slices(size):
            y = np.arange(part.start, part.stop) % CLASSES
            n = len(y)
            objects = replace(
                random_objects(rng, n, family),
                mark=np.full((n, 2), MARK_NAMES.index(family.marks[0])),
                mark_hue=hues[y][:, None] + rng.uniform(-0.02, 0.02, (n, 2)),
            )
            own = rng.random(n) < (HABITAT_SHARE if split == "train" else 0.0)
            habitat = np.where(own, y, rng.integers(CLASSES, size=n))
            textures = varied(rng, habitats.take(habitat))
            at = slice(done, done + n)
            images[at], masks[at] = draw(rng, objects, family, textures, hues)
            done += n
            if progress is not None:
                progress(done, total)
    split_names = np.repeat(list(sizes), list(sizes.values()))
    return Rendered(
        images, masks, labels.astype(np.int64), split_names, [f"hue {turn:.2f}" for turn in hues]
    )


def upstream(
    seed: int, *, objects: int, views: int, siblings: int, progress: Progress | None = None
) -> Corpus:
    """Render the sources' corpus; a pure function, disjoint from every downstream set.

    Runs of `siblings` objects share their body and differ in their marks only. From view to view
    pose, background, clutter and brightness change, and each mark's hue by up to the family's
    `hue_jitter`.

    Args:
        seed: the corpus's own seed.
        objects: number of objects.
        views: renderings of each object.
        siblings: objects that share a body.
        progress: told how many images are done, of how many.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    family = UPSTREAM
    all_objects = random_objects(rng, objects, family)
    first = np.arange(objects) // siblings * siblings
    marks = {k: getattr(all_objects, k) for k in ("mark", "mark_hue", "mark_offset", "mark_radius")}
    all_objects = replace(all_objects.take(first), **marks)
    images = np.empty((objects, views, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((objects, views, SIZE, SIZE), np.bool_)
    done = 0
    for part in _slices(objects):
        for view in range(views):
            some = all_objects.take(part)
            n = len(some)
            jitter = rng.uniform(-family.hue_jitter, family.hue_jitter, (n, 2))
            some = replace(some, mark_hue=some.mark_hue + jitter)
            images[part, view], masks[part, view] = draw(
                rng, some, family, random_textures(rng, n), None
            )
            done += n
            if progress is not None:
                progress(done, objects * views)
    return Corpus(images, masks, all_objects)
