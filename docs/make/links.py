"""A hook of mkdocs: links that leave ``docs/`` become the path that they name."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace links to files of the repository by their text and path."""

    def path(found: re.Match[str]) -> str:
        words, file = found[1], found[2]
        return words if file in words else f"{words} (`{file}`)"

    return _OUTSIDE.sub(path, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Links of included pages, which lie in the repository's folder, to pages of the site."""
    return re.sub(r'href="docs/([^"]+)\.md', r'href="\1.html', html)
