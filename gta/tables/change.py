"""Cells of a table and accuracies of runs, before and after the runs were trained again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from gta.errors import GtaError
from gta.study import Run, Study

if TYPE_CHECKING:
    import pandas as pd

HOLE = "-"
SAME = 1e-9  # percent; accuracies are rounded to float64 alone


def cells_of(study: Study, name: str, runs: Iterable[Run]) -> pd.DataFrame | None:
    """The rows of a table's tidy frame that runs belong to, method as ``method``.

    None where it has no such cells (a figure), or cannot be made yet.
    """
    from gta import tables
    from gta.tables.collected import table_kind

    if name not in study.tables or table_kind(study, name).number is None:
        return None
    try:
        frame, _ = tables.make(study, name)
    except GtaError:
        return None
    frame = frame.rename(columns={"model": "method"})
    fields = ["dataset", "rate", "source", "method", "mix"]
    wanted = {tuple(getattr(run, field) for field in fields) for run in runs}
    return frame[[row in wanted for row in frame[fields].itertuples(index=False, name=None)]]


def change_of(
    study: Study, name: str, before: pd.DataFrame | None, after: pd.DataFrame
) -> Iterator[str]:
    """Lines that tell cells before and after, as ``cells_of`` gives them."""
    from gta.tables.collected import table_kind
    from gta.tables.layout import CHOSEN_BY, HEADINGS, title_of

    number_of = table_kind(study, name).number
    assert number_of is not None
    mean, deviation = number_of
    fields = [*(field for field in (*HEADINGS, "protocol") if field in after)]
    was = {} if before is None else _numbers(study, before, fields, mean, deviation)
    told = ""
    yield f"{name}: {study.tables[name].title}"
    for key, (number, text) in _numbers(study, after, fields, mean, deviation).items():
        old, old_text = was.get(key, (nan, HOLE))
        named = dict(zip(fields, key, strict=True))
        selection = CHOSEN_BY[str(named.pop("selection"))]
        cell = ", ".join(
            str(value) if field == "protocol" else title_of(study, field, value)
            for field, value in named.items()
            if (field, value) != ("mix", "none")
        )
        if cell != told:
            yield f"  {cell}"
            told = cell
        difference = "" if isnan(number - old) else f"  {number - old:+.2f}"
        yield f"    {selection:<23}{old_text:>23} -> {text}{difference}"


def _numbers(
    study: Study, frame: pd.DataFrame, fields: list[str], mean: str, deviation: str
) -> dict[tuple[Any, ...], tuple[float, str]]:
    """Number and text of each row, by its fields."""
    from gta.tables.layout import lam_of
    from gta.tables.render import point_text

    numbers = {}
    for row in frame.to_dict("records"):
        text = HOLE
        if not isnan(row[mean]):
            spread = "" if isnan(row[deviation]) else f" ± {row[deviation]:.2f}"
            point = point_text(row["lam"], row["tuned"])
            weighed = f"λ {point} {lam_of(study, row['method'])}".rstrip()
            text = f"{row[mean]:.2f}{spread} ({weighed})"
        numbers[tuple(row[field] for field in fields)] = row[mean], text
    return numbers


def accuracies_line(study: Study, before: Mapping[Run, float], after: Mapping[Run, float]) -> str:
    """Number of runs with unchanged accuracy, and the largest change."""
    both = [run for run in after if run in before]
    moved = {run: abs(after[run] - before[run]) for run in both}
    same = sum(difference <= SAME for difference in moved.values())
    said = f"{len(after):,} runs trained; test accuracy as before in {same:,} of {len(both):,}"
    if same < len(both):
        run = max(both, key=moved.__getitem__)
        said += f"; furthest: {before[run]:.2f} -> {after[run]:.2f} ({study.title(run)})"
    return said
