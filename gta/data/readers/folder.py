"""A dataset of the user's own: a folder of images (here) or a CSV file (``table.py``).

- ``train/<class>/<image>`` and ``test/<class>/<image>``, optionally a held-out folder: ``heldout``,
  ``val``, ``valid``, ``validation`` or ``dev``. Images may lie deeper below their class; links are
  followed; every file that is not hidden counts.
- ``<class>/<image>``, where the config draws the test images: ``split: {test: 20, seed: 0}``.
- Object masks lie in ``masks/`` under the path of their image, with any ending:
  ``masks/test/cat/1.png`` is the mask of ``test/cat/1.jpg``.

Images may lack a mask. A mask is a grey or palette image of the size of its photograph: 0 is the
background, every other value the object, except ``mask_void`` of the config, which is neither.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gta.catalog import Drawn
from gta.data.readers import table
from gta.data.readers.classes import check_names, plain
from gta.data.readers.drawn import draw
from gta.data.readers.listing import DEPTH, Entry, Listing, MaskIds, folders_below
from gta.data.readers.listing import SPLIT_NAMES as SPLITS
from gta.errors import GtaError, listed

MASKS = "masks"
DESKTOP_FILES = ("Thumbs.db", "desktop.ini")  # that Windows leaves in folders of images


def read(folder: Path, drawn: Drawn | None = None) -> Listing:
    """List the images of a folder or a CSV file; see ``gta.data.readers.read``."""
    if folder.is_file():
        return table.read(folder, drawn)
    return _flat(folder, drawn) if drawn is not None else _split(folder)


def _split(folder: Path) -> Listing:
    """Images below ``train`` and ``test``."""
    root = _root(folder)
    places = _places(root)
    entries: list[Entry] = []
    broken: list[str] = []
    classes = _classes([path for path, split in places if split == "train"])
    labels = {name: label for label, name in enumerate(classes)}
    for path, split in sorted(places, key=lambda place: tuple(SPLITS).index(place[1])):
        for below in _class_folders(path):
            name = plain(below.name)
            if name not in labels:
                check_names([*classes, name], str(path))
                raise GtaError(f"{below}: no class of this name is in {root / 'train'}")
            entries += [
                Entry(image.relative_to(root).as_posix(), image, labels[name], split)
                for image in _files(below, broken)
            ]
    return _with_masks(classes, entries, root, broken)


def _flat(folder: Path, drawn: Drawn) -> Listing:
    """Images below a folder per class, divided into splits by ``drawn``."""
    there = [path for path in _visible(folder) if path.is_dir() and path.name != MASKS]
    if named := [path for path in there if plain(path.name).casefold() in _NAMES]:
        raise GtaError(
            f"{folder}: has the split {named[0].name}/ already; leave out `split` in the config, "
            "or rename the folder if it is a class"
        )
    classes = _classes([folder], skip=MASKS)
    labels = {name: label for label, name in enumerate(classes)}
    broken: list[str] = []
    entries = [
        Entry(image.relative_to(folder).as_posix(), image, labels[plain(below.name)], "train")
        for below in _class_folders(folder, skip=MASKS)
        for image in _files(below, broken)
    ]
    return _with_masks(classes, draw(entries, drawn), folder, broken)


# Names of splits, in lower case, and the split that each means.
_NAMES = {name: split for split, names in SPLITS.items() for name in names}


def _root(folder: Path) -> Path:
    """The folder that holds ``train`` and ``test``: the given one, or one below it.

    Raises:
        GtaError: if there is none, or several equally deep.
    """
    level, found = [folder], list[Path]()
    for _ in range(DEPTH + 1):
        found = [path for path in level if {"train", "test"} <= {s for _, s in _splits_in(path)}]
        if found:
            break
        level = [below for path in level for below in folders_below(path)]
    if len(found) > 1:
        raise GtaError(
            f"{folder}: holds train/ and test/ more than once: {', '.join(map(str, found))}; "
            "name one of them"
        )
    if found:
        return found[0]
    raise GtaError(f"{folder}: {_instead(folder)}")


def _instead(folder: Path) -> str:
    """Description of a folder without train and test, and the remedy."""
    there = {split for _, split in _splits_in(folder)}
    if there:
        lacking = "test" if "train" in there else "train"
        found = ", ".join(f"{path.name}/" for path, _ in _splits_in(folder))
        return (
            f"has {found} and no {lacking}/; every class needs training and test images: rename "
            "a folder, or move some images"
        )
    if any(path.is_dir() for path in _visible(folder)):
        return (
            "has no train/ and test/; if its folders are the classes, let the config draw test "
            "images: `split: {test: 20, seed: 0}` beside `path`"
        )
    return "holds no folders; expected are train/<class>/<image> and test/<class>/<image>"


def _splits_in(root: Path) -> list[tuple[Path, str]]:
    """Folders that bear the name of a split."""
    found = [(path, _NAMES.get(path.name.casefold())) for path in _visible(root) if path.is_dir()]
    return [(path, split) for path, split in found if split is not None]


def _places(root: Path) -> list[tuple[Path, str]]:
    """The folders of the splits.

    Raises:
        GtaError: if two mean one split, or a folder with files is neither a split nor masks.
    """
    places = _splits_in(root)
    for split in SPLITS:
        same = [path.name for path, other in places if other == split]
        if len(same) > 1:
            raise GtaError(f"{root}: {' and '.join(same)} both mean {split}; leave one")
    known = {path for path, _ in places} | {root / MASKS}
    for path in _visible(root):
        if path.is_dir() and path not in known and (count := len(_files(path, []))):
            raise GtaError(
                f"{path}: lies beside train/ and test/ and would not be read ({count} files); "
                f"move it elsewhere, or rename it ({', '.join(_NAMES)} or {MASKS})"
            )
    return places


def _classes(folders: list[Path], skip: str = "") -> list[str]:
    """Names of classes, sorted."""
    names = [path.name for folder in folders for path in _class_folders(folder, skip)]
    check_names(names, ", ".join(map(str, folders)))
    return sorted({plain(name) for name in names})


def _class_folders(folder: Path, skip: str = "") -> list[Path]:
    """The folders of a split's classes.

    Raises:
        GtaError: if files lie beside them.
    """
    there = [path for path in _visible(folder) if path.name != skip]
    if stray := [path for path in there if not path.is_dir()]:
        raise GtaError(
            f"{stray[0]}: lies beside the classes' folders, in none of them"
            + (f" ({len(stray)} such files)" if len(stray) > 1 else "")
        )
    return there


def _files(folder: Path, broken: list[str]) -> list[Path]:
    """All visible files below a folder, in the order of their paths; links are followed.

    Args:
        folder: where to look.
        broken: receives what cannot be read: links that lead nowhere or in a circle, and what is
            neither a file nor a folder (a pipe).

    Raises:
        GtaError: if a folder cannot be read.
    """
    return sorted(_walk(folder, (), broken), key=Path.as_posix)


def _walk(folder: Path, above: tuple[tuple[int, int], ...], broken: list[str]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        broken.append(f"{folder} is a link to a folder above it")
        return
    for path in _visible(folder):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            is_link = path.is_symlink()
            broken.append(
                f"{path} links to {path.readlink()}, which is missing"
                if is_link
                else f"{path}: {error.strerror}"
            )
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(path, (*above, here), broken)
        elif stat.S_ISREG(mode):
            yield path
        else:
            broken.append(f"{path} is neither a file nor a folder")


def _visible(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise GtaError(f"{folder}: cannot be read: {error.strerror}") from None
    return sorted(
        folder / name
        for name in names
        if not name.startswith(".") and name not in DESKTOP_FILES and name != "__MACOSX"
    )


def _with_masks(classes: list[str], entries: list[Entry], root: Path, broken: list[str]) -> Listing:
    masks = _masks_of(root, entries, broken)
    if broken:
        raise GtaError(f"{root}: {listed(broken)}", remedy="mend or remove what is named")
    if not masks:
        return Listing(classes, entries)
    masked = [replace(entry, mask=masks.get(entry.name)) for entry in entries]
    return Listing(classes, masked, MaskIds())


def _masks_of(root: Path, entries: list[Entry], broken: list[str]) -> dict[str, Path]:
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
    for path in _files(folder, broken):
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
