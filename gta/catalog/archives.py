"""Files that people fetch or place by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file in the archive folder (or, of a source, in the weights folder).

    Attributes:
        file: its name there.
        urls: where it can be fetched, in order; empty if it can only be placed by hand.
        md5: hexadecimal digest, where its publisher names one.
        sha256: hexadecimal digest, or its first digits where no more is published.
        size: in bytes, where known.
        other_names: names under which people have it too.
        own: whether it is the user's own, who may replace it at any time.
    """

    file: str
    urls: tuple[str, ...] = ()
    md5: str | None = None
    sha256: str | None = None
    size: int | None = None
    other_names: tuple[str, ...] = ()
    own: bool = False


@dataclass(frozen=True)
class Form:
    """Archives that together hold a dataset.

    Attributes:
        title: what people call it.
        archives: its files, unpacked into one folder.
        optional: files that are unpacked with them if they were placed.
        contents: digest of the files in them (``gta.data.readers.check_contents``), for archives
            whose own bytes are not published because their host packs them on demand.
    """

    title: str
    archives: tuple[Archive, ...]
    optional: tuple[Archive, ...] = ()
    contents: str | None = None
