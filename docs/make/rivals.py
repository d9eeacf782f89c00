"""Writes docs/rivals.md and its picture from the results of config/rivals.yaml.

Words stand in docs/make/rivals.head.md; every number and every claim comes from results/.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from docs.make import stamp
from docs.make.page import DOCS, ROOT, fill, table_of
from gta.errors import GtaError
from gta.methods.combined import SIGN
from gta.study import Study
from gta.study.points import LR, values_of
from gta.study.run import CELL, POINT
from gta.tables import Collected, read_all
from gta.tables.anova import LEVEL, holm
from gta.tables.intervals import BASELINE, OTHER
from gta.tables.render import point_text

CONFIG = ROOT / "config" / "rivals.yaml"
HEAD = Path(__file__).with_name("rivals.head.md")
PAGE, COMMAND = DOCS / "rivals.md", "python -m docs.make rivals"
SOURCES = [Path(__file__), HEAD, CONFIG]
TABLE, FIGURE = "rivals", "rivals_lambda"
TABLES = (TABLE, "rivals_attention", "optimism")
OURS = "gta"

Key = tuple[Any, ...]  # a cell and its point


@dataclass(frozen=True)
class Difference:
    """A difference of mean accuracies in points, with its 95 % interval.

    Attributes:
        clear: whether its sign is, after Holm's correction over a family.
    """

    mean: float
    low: float
    high: float
    clear: bool = False

    def __str__(self) -> str:
        text = f"{self.mean:+z.1f} [{self.low:+z.1f}, {self.high:+z.1f}]"
        return f"**{text}**" if self.clear else text


class Standings:
    """The systems of a study at the point that held-out accuracy chose, and how they differ."""

    def __init__(self, study: Study, collected: Collected) -> None:
        """Read the table and the intervals.

        Raises:
            GtaError: a cell or an interval is missing.
        """
        self.study = study
        frame = collected.frame(TABLE)
        holes = frame[frame["missing"] != ""]
        if len(holes):
            first = holes.iloc[0]
            where = f"{first['method']} at {first['rate']:g} %: {first['missing']}"
            raise GtaError(f"{study.name}: {len(holes)} cells are missing; the first, {where}")
        self.rows = frame[frame["selection"] == "heldout"]
        right = ["dataset", *OTHER[:3], "rate", *OTHER[3:]]
        self._known: dict[tuple[Key, Key], tuple[float, float, float, float]] = {}
        columns = [*CELL, *POINT, *right, "gain", "low", "high", "p"]
        size = len(CELL) + len(POINT)
        for row in collected.intervals[columns].itertuples(index=False, name=None):
            one, other, (gain, low, high, p) = row[:size], row[size : 2 * size], row[2 * size :]
            self._known[one, other] = gain, low, high, p
            self._known[other, one] = -gain, -high, -low, p

    def at(self, rate: float) -> pd.DataFrame:
        """The rows of a rate, the best first, by method."""
        rows = self.rows[self.rows["rate"] == rate]
        return rows.sort_values("acc1_mean", ascending=False).set_index("method", drop=False)

    def differences(
        self, rate: float, pairs: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], Difference]:
        """The differences of pairs of systems, the first less the second: one family.

        Raises:
            GtaError: a pair has no interval.
        """
        rows = self.at(rate)
        keys = {
            str(key[CELL.index("method")]): key
            for key in rows[[*CELL, *POINT]].itertuples(index=False, name=None)
        }
        found, values = [], []
        for one, other in pairs:
            known = self._known.get((keys[one], keys[other]))
            if known is None:
                raise GtaError(
                    f"{self.study.name}: {one} and {other} at {rate:g} % have no interval; run "
                    "`gta intervals --config config/rivals.yaml`"
                )
            *ends, p = known
            found.append(((one, other), ends))
            values.append(p)
        adjusted: list[float] = holm(values).tolist() if values else []
        return {
            pair: Difference(mean, low, high, clear=p < 1 - LEVEL)
            for (pair, (mean, low, high)), p in zip(found, adjusted, strict=True)
        }

    def title(self, method: str) -> str:
        """A system as readers see it."""
        return self.study.methods[method].title

    def named(self, methods: Iterable[str]) -> str:
        """Systems in words; ``none`` where there are none."""
        return ", ".join(map(self.title, methods)) or "none"


def claims(standings: Standings) -> Iterator[str]:
    """For each rate: the best, what cannot be told from it, and what is clear of fine-tuning."""
    for rate in standings.study.config.rates:
        rows = standings.at(rate)
        best, *others = rows.index
        top = rows.loc[best]
        mean = f"{top['acc1_mean']:.1f} ± {top['acc1_std']:.1f} %"
        in_group = rows["best_group"].fillna(False).astype(bool)
        tied = [method for method in others if in_group[method]]
        yield (
            f"- **At {rate:g} %** {standings.title(best)} has the highest accuracy, {mean}. Not "
            f"clearly below it: {standings.named(tied)}."
        )
        for base in (BASELINE, OURS):
            found = standings.differences(rate, [(m, base) for m in rows.index if m != base])
            said = {
                "clearly above": [p[0] for p, d in found.items() if d.clear and d.mean > 0],
                "clearly below": [p[0] for p, d in found.items() if d.clear and d.mean < 0],
                "undecided": [p[0] for p, d in found.items() if not d.clear],
            }
            own = f"{standings.title(base)} ({rows['acc1_mean'][base]:.1f} %)"
            parts = [
                f"{len(some)} {words} ({standings.named(some)})" if some else f"none {words}"
                for words, some in said.items()
            ]
            yield f"    - Of {len(found)} systems beside {own}: {'; '.join(parts)}."


def against(standings: Standings) -> str:
    """GTA's accuracy less each other system's, a column a rate; systems by the lowest rate."""
    rates = standings.study.config.rates
    order = [method for method in standings.at(min(rates)).index if method != OURS]
    columns = {
        f"{rate:g} %": standings.differences(rate, [(OURS, method) for method in order])
        for rate in rates
    }
    rows = []
    for method in order:
        row = {"system": standings.title(method)}
        for title, found in columns.items():
            row[title] = str(found[OURS, method])
        for rate in rates:
            own = standings.at(rate).loc[method]
            row[f"chosen at {rate:g} %"] = chosen(standings.study, method, own)
        rows.append(row)
    return markdown(rows)


def chosen(study: Study, method: str, row: pd.Series[Any]) -> str:
    """The λ and learning rate of a row, where there were several."""
    if len(study.methods.points(method)) < 2:
        return ""
    several = len(study.grid(method)) > 1
    text = point_text(row["lam"] if several else float("nan"), row["tuned"])
    return f"λ {text}" if several else text


def combinations(standings: Standings) -> str:
    """Each combination less each of its parts that the table has, a column a rate."""
    there = set(standings.rows["method"])
    pairs = [
        (name, part)
        for name in standings.study.methods
        if SIGN in name and name in there
        for part in name.split(SIGN)
        if part in there
    ]
    columns = {
        f"{rate:g} %": standings.differences(rate, pairs) for rate in standings.study.config.rates
    }
    rows = [
        {
            "combination": standings.title(one),
            "less": standings.title(other),
            **{title: str(found[one, other]) for title, found in columns.items()},
        }
        for one, other in pairs
    ]
    return markdown(rows)


def at_an_end(standings: Standings) -> list[str]:
    """The systems whose chosen learning rate is the lowest or the highest that was tried."""
    found = []
    for method, rows in standings.rows.groupby("method", sort=False):
        tried = standings.study.methods.tuned_grids(str(method)).get(LR, ())
        chosen_lrs = {values_of(tuned)[LR] for tuned in rows["tuned"]} if len(tried) > 1 else set()
        if chosen_lrs & {min(tried, default=0), max(tried, default=0)}:
            found.append(str(method))
    return found


def markdown(rows: list[dict[str, str]]) -> str:
    """A table of words."""
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def write(study: Study | None = None, page: Path = PAGE) -> None:
    """Write the page, and its picture into ``images/`` beside it.

    Args:
        study: that of config/rivals.yaml.
        page: where to write.

    Raises:
        GtaError: the study is not done.
    """
    study = study or Study.load([CONFIG])
    standings = Standings(study, read_all(study))
    picture = study.folder / "figures" / f"{FIGURE}.png"
    if not picture.exists():
        raise GtaError(f"{picture}: missing; run `snakemake --configfile config/rivals.yaml` first")
    parts = {
        "STAMP": stamp.head(COMMAND, SOURCES),
        "CLAIMS": "\n".join(claims(standings)),
        "AGAINST": against(standings),
        "COMBINATIONS": combinations(standings),
        "ENDS": standings.named(at_an_end(standings)),
        "TABLES": "\n\n".join(table_of(study, name) for name in TABLES),
    }
    text = fill(HEAD, parts).replace("over SEEDS seeds", f"over {len(study.config.seeds)} seeds")
    shutil.copy(picture, page.parent / "images" / f"rivals-{FIGURE}.png")
    page.write_text(text, encoding="utf-8")
