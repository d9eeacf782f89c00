"""A dataset of the user's own: a folder of images, or a CSV file that lists them.

- ``train/<class>/<image>`` and ``test/<class>/<image>``, optionally ``heldout/<class>/<image>``;
  images may lie deeper below their class. Every file that is not hidden counts. Object masks lie
  in ``masks/`` under the path of their image, with any ending: ``masks/test/cat/1.png`` is the mask
  of ``test/cat/1.jpg``.
- A CSV file with the columns path, label, split (``train``, ``test`` or ``heldout``) and optionally
  mask, empty where there is none; paths are relative to the CSV file's folder, a label is any text
  or number.

Images may lack a mask. A mask is a grey or palette image of the size of its photograph: 0 is the
background, every other value the object, but ``mask_void`` of the config, which is neither.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from gta.data.readers.listing import Entry, Listing, MaskIds, find_root
from gta.errors import GtaError

SPLITS = ("train", "heldout", "test")
COLUMNS = ("path", "label", "split")
MASKS, MASK_COLUMN = "masks", "mask"
DESKTOP_FILES = ("Thumbs.db", "desktop.ini")  # that Windows leaves in folders of images


def read(folder: Path) -> Listing:
    """List the images of a folder or a CSV file; see ``gta.data.readers.read``."""
    return _from_csv(folder) if folder.is_file() else _from_folder(folder)


def _from_folder(folder: Path) -> Listing:
    root = find_root(folder, "train", "test", what="a data set train/class/image, test/class/image")
    classes = sorted(path.name for path in _visible(root / "train") if path.is_dir())
    labels = {name: label for label, name in enumerate(classes)}
    entries: list[Entry] = []
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for path in _visible(root / split):
            if not path.is_dir():
                raise GtaError(f"{path}: lies beside the classes' folders, in none of them")
            if path.name not in labels:
                raise GtaError(f"{path}: no class of this name is in {root / 'train'}")
            for image in sorted(path.rglob("*"), key=Path.as_posix):
                if image.is_file() and _is_visible(image.relative_to(root)):
                    name = image.relative_to(root).as_posix()
                    entries.append(Entry(name, image, labels[path.name], split))
    return _with_masks(classes, entries, _masks_of(root, entries))


def _with_masks(classes: list[str], entries: list[Entry], masks: dict[str, Path]) -> Listing:
    """The listing with the masks of its images by name."""
    if not masks:
        return Listing(classes, entries)
    masked = [replace(entry, mask=masks.get(entry.name)) for entry in entries]
    return Listing(classes, masked, MaskIds())


def _masks_of(root: Path, entries: list[Entry]) -> dict[str, Path]:
    """Files below ``masks/`` by the names of their images.

    Raises:
        GtaError: if a mask belongs to no image or to several, or an image has several.
    """
    folder = root / MASKS
    if not folder.is_dir():
        return {}
    images: dict[Path, list[str]] = {}
    for entry in entries:
        images.setdefault(Path(entry.name).with_suffix(""), []).append(entry.name)
    masks: dict[str, Path] = {}
    for path in sorted(folder.rglob("*"), key=Path.as_posix):
        if not path.is_file() or not _is_visible(path.relative_to(root)):
            continue
        names = images.get(path.relative_to(folder).with_suffix(""), [])
        if len(names) != 1:
            whose = f"the mask of {len(names)} images" if names else "the mask of no image"
            raise GtaError(
                f"{path}: is {whose}; name it as its image below {root} but for the ending"
            )
        if names[0] in masks:
            raise GtaError(f"{path}: {names[0]} has another mask, {masks[names[0]]}; leave one")
        masks[names[0]] = path
    return masks


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_visible(path.relative_to(folder)))


def _is_visible(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name not in DESKTOP_FILES


def _from_csv(path: Path) -> Listing:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a BOM
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise GtaError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise GtaError(f"{path}: is not a CSV file in UTF-8 ({error})") from None
    lacking = [column for column in COLUMNS if column not in header]
    if lacking:
        raise GtaError(f"{path}: has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}")
    for number, row in rows:
        if not all(row[column] for column in COLUMNS):
            raise GtaError(f"{path}:{number}: path, label or split is empty")
        if row["split"] not in SPLITS:
            raise GtaError(
                f"{path}:{number}: split {row['split']!r} is none of {', '.join(SPLITS)}"
            )
    names = {row["label"] for _, row in rows}
    # Numbers in their own order: "10" comes after "9".
    numeric = all(name.isdecimal() for name in names)
    classes = sorted(names, key=lambda name: (int(name), name) if numeric else (0, name))
    labels = {name: label for label, name in enumerate(classes)}
    entries = [
        Entry(row["path"], path.parent / row["path"], labels[row["label"]], row["split"])
        for _, row in rows
    ]
    masks = {row["path"]: path.parent / row[MASK_COLUMN] for _, row in rows if row.get(MASK_COLUMN)}
    return _with_masks(classes, entries, masks)
