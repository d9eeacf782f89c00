"""The head of the results page: what the study says, in sentences with numbers and in charts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import pandas as pd
from markupsafe import Markup

from gta.errors import GtaError
from gta.page import claims
from gta.page.charts import Gain, Line, forest, over_rates, range_of, swatch
from gta.study import Study
from gta.study.run import CELL
from gta.tables import Collected
from gta.tables.intervals import BASELINE, with_gains
from gta.tables.layout import title_of

HEADLINE = "gta"


@dataclass(frozen=True)
class MethodNote:
    """Description and reference of a method for readers.

    Attributes:
        name, title: of the method.
        about: one line.
        reference: where it is published; may be empty.
        swatch: its marker in the charts; empty where it is in none.
    """

    name: str
    title: str
    about: str
    reference: str
    swatch: Markup


@dataclass(frozen=True)
class Panels:
    """Charts of one kind, one for each dataset.

    Attributes:
        title: over them.
        panels: dataset's title and chart.
        about: what they show.
    """

    title: str
    panels: list[tuple[str, Markup]]
    about: str


@dataclass
class Answer:
    """Content of the page's first screen.

    Attributes:
        claims: sentences on the headline's method.
        others: sentences on the other methods.
        gains, accuracies: charts; None where there is nothing to draw.
        other_gains: charts of the gains of the other methods.
        methods: all methods of the study.
        has_paper: whether cells of the paper stand beside the study's.
    """

    claims: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    gains: Panels | None = None
    accuracies: Panels | None = None
    other_gains: list[Panels] = field(default_factory=list)
    methods: list[MethodNote] = field(default_factory=list)
    has_paper: bool = False


def answer(study: Study, collected: Collected) -> Answer:
    """Claims of a study about gains over fine-tuning, on the main source without mixing.

    Claims are made at the lambdas that held-out images chose.
    """
    cells = _cells(study, collected)
    ranks = _ranks(study, cells)
    found = Answer(methods=list(_methods(study, ranks)))
    found.has_paper = bool(cells["paper_mean"].notna().any())
    compared = [method for method in ranks if method != BASELINE]
    gaining = [m for m in compared if cells.loc[cells["method"] == m, "gain"].notna().any()]
    if gaining:
        first = HEADLINE if HEADLINE in gaining else gaining[-1]
        found.claims = [
            *claims.of_gains(study, cells, first),
            *claims.of_best(study, collected, first),
            *claims.of_attention(study, collected, first),
        ]
        scale = _scale(cells)
        found.gains = _forest(study, cells, first, ranks, scale)
        for method in gaining:
            if method != first:
                found.others += claims.of_gains(study, cells, method)
                found.other_gains.append(_forest(study, cells, method, ranks, scale))
    elif BASELINE in ranks and compared:
        title = study.methods[BASELINE].title
        found.claims = [f"No gain over {title} is known yet: it or every other method is missing."]
    if cells["acc1_mean"].notna().any():
        found.accuracies = _accuracies(study, cells, ranks)
    return found


def about(study: Study, method: str) -> str:
    """A method in one line: the first of its class's documentation."""
    text = inspect.getdoc(study.methods[method]) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("``", "")


def _cells(study: Study, collected: Collected) -> pd.DataFrame:
    """Cells of the main source without mixing: accuracy, gain and interval, the paper's."""
    selected = collected.selected
    table = with_gains(selected, selected, collected.intervals)
    source = study.config.sources.get("main", next(iter(study.config.sources.values())))
    table = table[(table["selection"] == claims.RULE) & (table["mix"] == "none")]
    table = table[table["source"] == source]
    return table.merge(_paper(study, collected), on=CELL, how="left")


def _paper(study: Study, collected: Collected) -> pd.DataFrame:
    """The paper's accuracies and gains of the study's cells."""
    frames = []
    for name, spec in study.tables.items():
        try:
            frame = collected.frame(name) if spec.kind == "accuracy" else pd.DataFrame()
        except GtaError:
            continue
        if "paper_mean" in frame:
            frames.append(frame[[*CELL, "paper_mean"]])
    columns = [*CELL, "paper_mean", "paper_gain"]
    if not frames:
        return pd.DataFrame(columns=columns).astype({"rate": float, "paper_mean": float})
    paper = pd.concat(frames).dropna().drop_duplicates(CELL)
    place = [field for field in CELL if field != "method"]
    tuned = paper[paper["method"] == BASELINE][[*place, "paper_mean"]]
    paper = paper.merge(tuned, on=place, how="left", suffixes=("", "_tuned"))
    return paper.assign(paper_gain=paper["paper_mean"] - paper["paper_mean_tuned"])[columns]


def _ranks(study: Study, cells: pd.DataFrame) -> dict[str, int]:
    """The methods of the charts with their colours and markers, the headline's first."""
    there = set(cells["method"])
    order = dict.fromkeys([HEADLINE, BASELINE, *study.methods])
    return {method: rank for rank, method in enumerate(m for m in order if m in there)}


def _methods(study: Study, ranks: dict[str, int]) -> Iterator[MethodNote]:
    used = {run.method for run in study.runs}
    for name in study.methods:
        if name in used:
            kind = study.methods[name]
            drawn = swatch(ranks[name]) if name in ranks else Markup()
            yield MethodNote(name, kind.title, about(study, name), kind.reference, drawn)


def _forest(
    study: Study,
    cells: pd.DataFrame,
    method: str,
    ranks: dict[str, int],
    scale: tuple[float, float],
) -> Panels:
    title, base = study.methods[method].title, study.methods[BASELINE].title
    own = cells[cells["method"] == method].set_index(["dataset", "rate"])
    panels = []
    for dataset in study.config.datasets:
        gains = []
        for rate in sorted(study.config.rates):
            if (dataset, rate) in own.index:
                columns = ("gain", "gain_low", "gain_high", "paper_gain")
                numbers = [_number(own, (dataset, rate), column) for column in columns]
                gains.append(Gain(f"{rate:g} %", *numbers))
        if gains:
            named = title_of(study, "dataset", dataset)
            words = f"Gain of {title} over {base} on {named}, by rate"
            panels.append((named, forest(gains, scale, ranks[method], words)))
    paper = "; hollow: the paper's" if own["paper_gain"].notna().any() else ""
    said = f"Points of top-1 accuracy over {base}, with 95 % intervals, λ chosen on held-out images"
    return Panels(f"Gain of {title}", panels, f"{said}{paper}.")


def _scale(cells: pd.DataFrame) -> tuple[float, float]:
    """The lowest and highest gain to draw; intervals of few seeds may be far wider."""
    gains = cells[["gain", "paper_gain"]].to_numpy().ravel().tolist()
    low, high = range_of([*gains, 0.0], least=2.0)
    ends = [*cells["gain_low"].dropna(), *cells["gain_high"].dropna()]
    room = 2 * (high - low)
    return range_of([low, high, *(min(max(end, low - room), high + room) for end in ends)])


def _accuracies(study: Study, cells: pd.DataFrame, ranks: dict[str, int]) -> Panels:
    rates = [rate for rate in sorted(study.config.rates) if rate in set(cells["rate"])]
    told = [BASELINE, HEADLINE]  # the paper's of all methods would hide ours
    panels = []
    for dataset in study.config.datasets:
        here = cells[cells["dataset"] == dataset].set_index(["method", "rate"])
        if here["acc1_mean"].isna().all():
            continue
        lines = []
        for method, rank in ranks.items():
            ours, paper = (
                [_number(here, (method, rate), column) for rate in rates]
                for column in ("acc1_mean", "paper_mean")
            )
            with_paper = method in told and not all(map(isnan, paper))
            title = study.methods[method].title
            lines.append(Line(title, rank, ours, paper if with_paper else []))
        values = [value for line in lines for value in (*line.values, *line.paper)]
        named = title_of(study, "dataset", dataset)
        scale = range_of(values, least=4.0)
        words = f"Top-1 accuracy on {named} over the share of the training images"
        labels = [f"{rate:g} %" for rate in rates]
        panels.append((named, over_rates(lines, labels, scale, words)))
    has_paper = bool(cells["paper_mean"].notna().any())
    beside = ", hollow and dashed: the paper's of fine-tuning and GTA" if has_paper else ""
    said = "Top-1 accuracy on the test set (%), means over seeds, over the share of the training "
    said += f"images; λ chosen on held-out images{beside}."
    return Panels("Accuracy over rates", panels, said)


def _number(table: pd.DataFrame, key: Any, column: str) -> float:
    """A number of a frame with two levels of rows; NaN where the row is not there."""
    return float(table[column].get(key, nan))
