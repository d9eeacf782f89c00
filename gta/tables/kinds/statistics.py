"""The table of the datasets: classes and images, the paper's counts beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.commands import command
from gta.study.kinds import Input
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

COUNTS = {"classes": "Classes", "train_images": "Training images", "test_images": "Test images"}


class Statistics(TableKind):
    """Counts of each dataset of the study, as it was prepared."""

    name: ClassVar[str] = "statistics"
    inputs: ClassVar[tuple[Input, ...]] = ("stores",)
    cells: ClassVar[bool] = False
    reference_columns: ClassVar[tuple[str, ...]] = ("dataset", *COUNTS)

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``statistics`` returns it."""
        return statistics(study, name, collected.counts, collected.reference(name))

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``statistics_page`` returns it."""
        return statistics_page(study, name, frame)


def statistics(
    study: Study,
    name: str,
    counts: Iterable[Mapping[str, Any]],
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Counts of the datasets, the paper's beside them.

    Args:
        study: the study.
        name: of the table.
        counts: dataset, classes, train_images and test_images of each prepared dataset.
        reference: the paper's, of the same columns.

    Returns:
        A row for each of the study's datasets: ``dataset, classes, train_images, test_images``;
        where one is the paper's, ``paper_`` and ``delta_`` (ours less the paper's) of each
        count; and ``missing``.
    """
    import pandas as pd

    found = pd.DataFrame(list(counts), columns=["dataset", *COUNTS])
    table = pd.DataFrame({"dataset": study.config.datasets}).merge(found, "left", on="dataset")
    absent = table["classes"].isna()
    how = f": missing: not prepared: `{command(study, 'data prepare')} "
    table["missing"] = (table["dataset"] + how + table["dataset"] + "`").where(absent, "")
    columns = ["dataset", *COUNTS]
    if reference is not None:
        paper = reference.set_index("dataset")[[*COUNTS]].add_prefix("paper_").reset_index()
        joined = table.merge(paper, "left", on="dataset", validate="one_to_one")
        if joined["paper_classes"].notna().any():
            table = joined
            for count in COUNTS:
                table[f"delta_{count}"] = table[count] - table[f"paper_{count}"]
            columns += [f"{what}_{count}" for what in ("paper", "delta") for count in COUNTS]
    table = table.astype(dict.fromkeys(columns[1:], "Int64"))
    return table[[*columns, "missing"]]


def statistics_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``statistics`` returns."""
    import pandas as pd

    from gta.tables.layout import HEADINGS, Page, title_of

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    beside = {"": "ours", "paper_": "paper", "delta_": "Δ"}
    whose = beside if "paper_classes" in table else {"": ""}
    lines = []
    for row in table.to_dict("records"):
        notes = page.note(row["missing"])
        place = {"dataset": row["dataset"]}
        lines.append(
            [
                _count(row[prefix + count], () if prefix else notes, prefix == "delta_", place)
                for count in COUNTS
                for prefix in whose
            ]
        )
    names = [title_of(study, "dataset", dataset) for dataset in table["dataset"]]
    cells = pd.DataFrame(lines, index=pd.Index(names, name=HEADINGS["dataset"]), dtype=object)
    heads = pd.MultiIndex.from_product([COUNTS.values(), whose.values()])
    cells.columns = heads if len(whose) > 1 else heads.get_level_values(0)
    page.blocks.append(("", cells))
    return page


def _count(value: Any, notes: tuple[int, ...], signed: bool, place: Mapping[str, Any]) -> Cell:
    import pandas as pd

    from gta.tables.layout import Cell

    number = nan if pd.isna(value) else float(value)
    form = "+,.0f" if signed and number else ",.0f"
    return Cell(number, notes=notes, form=form, place=place)
