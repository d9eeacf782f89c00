"""Stanford Cars (Krause et al. 2013): 196 classes, ids from 1.

Two layouts, wherever their parts lie below the folder (the copies in use nest ``cars_train``,
``cars_test`` and ``devkit`` once or twice):

- the original files: ``cars_train/00001.jpg``, ``cars_test/00001.jpg``, and of the devkit
  cars_meta.mat, cars_train_annos.mat, with cars_test_annos_withlabels.mat;
- the pooled files: ``car_ims/000001.jpg`` and cars_annos.mat.

The lists of BSS use the pooled numbering. With the original files, cars_annos.mat (if it is there)
translates: an image is known by its split, class and bounding box. In the original annotations
that key is unique but for one pair of test images of one class, which may change places without
changing any split.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from gta.data.readers.listing import Entry, Listing, to_label
from gta.data.readers.matlab import field, read_mat
from gta.errors import GtaError

# People also have it as "cars_test_annos_withlabels (1).mat".
ANNOTATIONS = {
    "train": ("cars_train", "cars_train_annos.mat"),
    "test": ("cars_test", "cars_test_annos_withlabels*.mat"),
}
META = "cars_meta.mat"
POOLED = "cars_annos.mat"
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def read(folder: Path) -> Listing:
    """List the images of Cars; see ``gta.data.readers.read``."""
    pooled = _find(folder, POOLED)
    if _find(folder, META) or _find(folder, ANNOTATIONS["train"][1]):
        return _original(folder, pooled)
    if pooled is None:
        raise GtaError(
            f"{folder}: does not hold Stanford Cars: neither the devkit ({META} and others) "
            f"nor {POOLED} is there"
        )
    return _pooled(folder, pooled)


def _original(folder: Path, pooled: Path | None) -> Listing:
    classes = [str(name) for name in read_mat(_need(folder, META), "class_names")]
    six_digits = {} if pooled is None else _six_digits(pooled)
    entries: list[Entry] = []
    for split, (directory, file) in ANNOTATIONS.items():
        path = _need(folder, file)
        annotations = read_mat(path, "annotations")
        names = [str(field(annotation, "fname", str(path))) for annotation in annotations]
        images = _images(folder, directory, names[0])
        for name, annotation in zip(names, annotations, strict=True):
            key = _key(annotation, split == "test", path)
            candidates = six_digits.get(key, [])
            # Test images that share a key may change places; of training images none is guessed.
            known = len(candidates) == 1 or (candidates and split == "test")
            entries.append(
                Entry(
                    name=f"{directory}/{name}",
                    path=images / name,
                    label=to_label(str(key[1]), classes, f"{path}: {name}", first=1),
                    split=split,
                    bss=f"{split}/{key[1]}/{candidates.pop(0)}" if known else None,
                )
            )
    return Listing(classes, entries)


def _pooled(folder: Path, path: Path) -> Listing:
    classes = [str(name) for name in read_mat(path, "class_names")]
    entries: list[Entry] = []
    images: Path | None = None
    for annotation in read_mat(path, "annotations"):
        name = str(field(annotation, "relative_im_path", str(path)))
        directory, _, file = name.rpartition("/")
        images = images or _images(folder, directory, file)
        is_test, number, *_ = _key(annotation, None, path)
        split = "test" if is_test else "train"
        entries.append(
            Entry(
                name=name,
                path=images / file,
                label=to_label(str(number), classes, f"{path}: {name}", first=1),
                split=split,
                bss=f"{split}/{number}/{file}",
            )
        )
    return Listing(classes, sorted(entries, key=lambda entry: entry.name))


def _six_digits(path: Path) -> dict[tuple[int, ...], list[str]]:
    """Names of the pooled files by test flag, class and bounding box."""
    names: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for annotation in read_mat(path, "annotations"):
        name = str(field(annotation, "relative_im_path", str(path)))
        names[_key(annotation, None, path)].append(name.rpartition("/")[2])
    return {key: sorted(same) for key, same in names.items()}


def _key(annotation: Any, is_test: bool | None, path: Path) -> tuple[int, ...]:
    """Test flag (the annotation's own where None is given), class and bounding box."""
    where = str(path)
    flag = field(annotation, "test", where) if is_test is None else is_test
    values = [field(annotation, name, where) for name in ("class", *BOX)]
    try:
        return (int(flag), *map(int, values))
    except (TypeError, ValueError):
        raise GtaError(f"{path}: a class or bounding box is not an integer: {values}") from None


def _find(folder: Path, pattern: str) -> Path | None:
    """The least deep file of a name; copies beside it must hold the same."""
    found = sorted(
        (path for path in folder.rglob(pattern) if path.is_file() and "__MACOSX" not in path.parts),
        key=lambda path: (len(path.parts), path),
    )
    if len({path.read_bytes() for path in found}) > 1:
        raise GtaError(f"{folder}: holds different files {', '.join(map(str, found))}; leave one")
    return found[0] if found else None


def _need(folder: Path, pattern: str) -> Path:
    found = _find(folder, pattern)
    if found is None:
        raise GtaError(f"{folder}: {pattern.replace('*', '')} of Stanford Cars is missing")
    return found


def _images(folder: Path, directory: str, first: str) -> Path:
    """The folder of a name that holds the first listed image; it may be nested in its like."""
    candidates = [path for path in sorted(folder.rglob(directory)) if (path / first).is_file()]
    if not candidates:
        raise GtaError(f"{folder}: {directory}/{first} of Stanford Cars is missing")
    return candidates[0]
