"""Building a study's tables from its files, and writing them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gta import files
from gta.study import Study
from gta.tables.collected import Collected, table_kind
from gta.tables.imported import with_imported
from gta.tables.layout import Page
from gta.tables.render import to_html, to_latex, to_markdown


def read_all(study: Study) -> Collected:
    """Inputs of all tables of a study, each file read when first needed."""
    return Collected(study)


def make(study: Study, name: str, collected: Collected | None = None) -> tuple[pd.DataFrame, Page]:
    """Build a table from what the study's runs have left.

    Args:
        study: the study.
        name: of one of its tables.
        collected: as ``read_all`` returns it, where several tables are made; default: read now.

    Returns:
        The tidy frame, and the table as readers see it.

    Raises:
        GtaError: if a file that the table is made of is missing or damaged.
    """
    collected = collected or Collected(study)
    frame = collected.frame(name)
    return frame, lay_out(study, name, frame, collected)


def lay_out(
    study: Study, name: str, table: pd.DataFrame, collected: Collected | None = None
) -> Page:
    """A table as readers see it, from its tidy frame or some of the frame's rows."""
    page = table_kind(study, name).page(study, name, table)
    return with_imported(page, (collected or Collected(study)).imported)


def write(study: Study, table: pd.DataFrame, page: Page) -> list[Path]:
    """Write ``results/<study>/tables/<table>.csv``, ``.md``, ``.tex`` and ``.html``."""
    folder = study.folder / "tables"
    texts = {
        "csv": table.to_csv(index=False),
        "md": to_markdown(page),
        "tex": to_latex(page),
        "html": to_html(page),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(folder / f"{page.name}.{ending}")
        files.write_text(paths[-1], text)
    return paths
