"""A CSV file that lists the images of a dataset of the user's own.

Columns path, label, split (``train``, ``test``, or a name for held-out images) and optionally
mask, empty where there is none; without a column split, the config draws the test images. Paths
are relative to the CSV file's folder. Commas, semicolons or tabs separate; a label is any text.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gta.catalog import Drawn
from gta.data.readers.classes import check_names, plain
from gta.data.readers.drawn import draw
from gta.data.readers.listing import SPLIT_NAMES, Entry, Listing, MaskIds
from gta.errors import GtaError, listed

COLUMNS = ("path", "label", "split")
MASK = "mask"
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}


def read(path: Path, drawn: Drawn | None = None) -> Listing:
    """List the images of a CSV file; see ``gta.data.readers.read``."""
    needed = COLUMNS if drawn is None else COLUMNS[:2]
    rows = list(_rows(path, needed))
    for where, row in rows:
        if not all(row[column] for column in needed):
            raise GtaError(f"{where}: {', '.join(needed[:-1])} or {needed[-1]} is empty")
    labels_seen = [row["label"] for _, row in rows]
    check_names(labels_seen, str(path))
    names = {plain(label) for label in labels_seen}
    # Numbers in their own order: "10" comes after "9".
    numeric = all(name.isdecimal() for name in names)
    classes = sorted(names, key=lambda name: (int(name), name) if numeric else (0, name))
    labels = {name: label for label, name in enumerate(classes)}
    entries: list[Entry] = []
    for where, row in rows:
        mask = _file(path, row[MASK]) if row.get(MASK) else None
        split = "train" if drawn is not None else _split(row["split"], where)
        label = labels[plain(row["label"])]
        entries.append(Entry(row["path"], _file(path, row["path"]), label, split, mask))
    _require_files(path, entries)
    _require_distinct(path, entries)
    if drawn is not None:
        entries = draw(entries, drawn)
    has_masks = any(entry.mask is not None for entry in entries)
    return Listing(classes, entries, MaskIds() if has_masks else None)


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows with where they stand (``file:line``), blanks around their fields removed."""
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = {name: name.strip().casefold() for name in reader.fieldnames or [] if name}
        twice = [name for name in needed if list(header.values()).count(name) > 1]
        lacking = [name for name in needed if name not in header.values()]
        if lacking or twice:
            raise GtaError(
                f"{path}: has no column {', '.join(lacking)}; it needs {', '.join(needed)}"
                if lacking
                else f"{path}: has two columns {twice[0]}"
            )
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row:
                raise GtaError(
                    f"{where}: has more fields than the header; quote a field that holds "
                    f"{delimiter!r}"
                )
            yield where, {header[name]: (row[name] or "").strip() for name in header}
    except csv.Error as error:
        raise GtaError(f"{path}: is not a CSV file in UTF-8 ({error})") from None


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe blocks its reader
        raise GtaError(f"{path}: is not a regular file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GtaError(f"{path}: cannot be read ({error.strerror or error})") from None
    # Spreadsheets mark their encoding in the first bytes.
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise GtaError(
            f"{path}: is not a CSV file in UTF-8 ({error}); save it as CSV UTF-8"
        ) from None


def _split(name: str, where: str) -> str:
    split = _SPLITS.get(name.casefold())
    if split is None:
        raise GtaError(f"{where}: split {name!r} is not one of {', '.join(_SPLITS)}")
    return split


def _file(table: Path, name: str) -> Path:
    """The file of a field; a backslash separates folders where no file has it in its name."""
    path = table.parent / Path(name).expanduser()
    if "\\" in name and not path.exists():
        return table.parent / name.replace("\\", "/")
    return path


def _require_files(table: Path, entries: list[Entry]) -> None:
    paths = [path for entry in entries for path in (entry.path, entry.mask) if path is not None]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise GtaError(
            f"{table}: {len(missing)} of {len(paths)} files that it names are missing: "
            f"{listed(missing)}; paths are relative to {table.parent}"
        )
    other = [path for path in paths if not path.is_file()]
    if other:
        raise GtaError(f"{table}: names what is not a file: {listed(other)}")


def _require_distinct(table: Path, entries: list[Entry]) -> None:
    """Check that no image is named twice, however its path is spelt."""
    spelt: dict[Path, list[str]] = defaultdict(list)
    for entry in entries:
        spelt[entry.path.resolve()].append(f"{entry.name} ({entry.split})")
    twice = [" and ".join(names) for names in spelt.values() if len(names) > 1]
    if twice:
        raise GtaError(
            f"{table}: {len(twice)} images are listed twice: {listed(twice)}; remove a row of each"
        )
