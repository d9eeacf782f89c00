"""What the writers of generated pages share: places, and filling a page's gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from docs.make import stamp
from gta.errors import GtaError
from gta.study import Study

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def fill(head: Path, parts: Mapping[str, str]) -> str:
    """The words of a page, each ``<!-- NAME -->`` replaced by the part of that name."""
    text = head.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def section_of(
    page: Path,
    command: str,
    sources: Iterable[Path],
    text: str,
    versions: Mapping[str, int] | None = None,
) -> str:
    """A hand-written page whose part that a command writes is ``text``, with its stamp.

    The part lies between a line that bears the stamp and a line ``<!-- end of COMMAND -->``.

    Raises:
        GtaError: if the page has no such part.
    """
    whole = page.read_text(encoding="utf-8")
    begin, end = rf"<!-- `{re.escape(command)}`[^\n]*-->\n", f"<!-- end of {command} -->"
    found = re.search(f"{begin}(.*?){re.escape(end)}", whole, re.DOTALL)
    if found is None:
        raise GtaError(f"{page}: has no part that `{command}` writes, up to {end}")
    part = f"{stamp.head(command, sources, versions)}\n{text.rstrip()}\n{end}"
    return whole[: found.start()] + part + whole[found.end() :]


def fill_section(
    page: Path,
    command: str,
    sources: Iterable[Path],
    text: str,
    versions: Mapping[str, int] | None = None,
) -> None:
    """Write ``section_of`` to the page."""
    page.write_text(section_of(page, command, sources, text, versions), encoding="utf-8")


def markdown_row(texts: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def table_of(study: Study, name: str) -> str:
    """A table as the workflow wrote it, its headings one level lower.

    Raises:
        GtaError: if it has not been written.
    """
    path = study.folder / "tables" / f"{name}.md"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise GtaError(f"{path}: missing; run `snakemake` for study {study.name} first") from None
    return re.sub(r"^#", "##", text, flags=re.MULTILINE).rstrip()
