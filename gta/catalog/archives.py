"""Files that people fetch or place by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file in the archive folder (or, of a source, in the weights folder).

    Attributes:
        file: its name there.
        urls: where it can be fetched, in order; empty where it can only be placed by hand.
        md5: hexadecimal digest, where its publisher names one.
        sha256: hexadecimal digest, or its first digits where no more is published.
        size: in bytes, where known.
        other_names: names under which people have it too.
    """

    file: str
    urls: tuple[str, ...] = ()
    md5: str | None = None
    sha256: str | None = None
    size: int | None = None
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """Archives that together hold a data set.

    Attributes:
        title: what people call it.
        archives: its files, unpacked into one folder.
        optional: files that are unpacked with them where they were placed.
        contents: digest of the files in them (``gta.data.readers.check_contents``), for archives
            whose own bytes are not published because their host packs them on demand.
    """

    title: str
    archives: tuple[Archive, ...]
    optional: tuple[Archive, ...] = ()
    contents: str | None = None
