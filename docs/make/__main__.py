"""``python -m docs.make [NAME...]``: write generated pages.

Named pages must be possible to write; without a name, pages whose results are missing are left as
they are and said.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from gta.errors import GtaError

# A module with PAGE, COMMAND, SOURCES and write() for each.
PAGES = (
    "readme",
    "mini",
    "flowers",
    "rivals",
    "grocery",
    "store",
    "fidelity",
    "faults",
    "coverage",
    "performance",
    "sources",
    "methods",
    "schema",
    "config",
    "commands",
    "floors",
)


def writer(name: str) -> Any:
    """The module that writes a page."""
    return import_module(f"docs.make.{name}")


def main(names: list[str]) -> int:
    """Write the pages; the exit status."""
    for name in names:
        if name not in PAGES:
            print(f"error: there is no page {name!r}: {', '.join(PAGES)}", file=sys.stderr)
            return 1
    status = 0
    for name in names or PAGES:
        page = writer(name)
        try:
            page.write()
        except (GtaError, OSError) as error:
            print(f"{name}: not written: {error}", file=sys.stderr)
            status = 1 if names else status
        else:
            print(f"{name}: {page.PAGE}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
