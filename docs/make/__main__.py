"""``python -m docs.make NAME...``: write generated pages from results."""

from __future__ import annotations

import sys

from docs.make import coverage, flowers
from gta.errors import GtaError

PAGES = {"coverage": coverage, "flowers": flowers}


def main() -> None:
    """Write the pages that the command line names, or all."""
    for name in sys.argv[1:] or PAGES:
        if name not in PAGES:
            sys.exit(f"error: there is no page {name!r}; there are: {', '.join(PAGES)}")
        try:
            PAGES[name].write()
        except (GtaError, OSError) as error:
            sys.exit(f"error: {name}: {error}")
        print(PAGES[name].PAGE)


if __name__ == "__main__":
    main()
