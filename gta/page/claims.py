"""Sentences with numbers on what a study says of its methods."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from gta.study import Study
from gta.study.run import CELL, POINT
from gta.tables import Collected
from gta.tables.intervals import BASELINE

RULE = "heldout"  # whose claims are made: no test image is looked at


def of_gains(study: Study, cells: pd.DataFrame, method: str) -> Iterator[str]:
    """A sentence a rate, and one on how the gain changes over rates."""
    own = cells[(cells["method"] == method) & cells["gain"].notna()]
    title, base = study.methods[method].title, study.methods[BASELINE].title
    for rate, rows in own.groupby("rate"):
        gains = rows["gain"]
        above = gains[gains > 0]
        where = f"{len(above)} of {_datasets(len(rows))}"
        said = f"At {rate:g} % {title} is above {base} on {where}"
        said += f", {_from_to(gains, len(rows))}"
        known = rows["gain_low"].notna()
        if known.any():
            apart = int((rows["gain_low"] > 0).sum())
            below = int((rows["gain_high"] < 0).sum())
            said += f"; the 95 % interval is above zero on {apart}"
            said += f" and below zero on {below}" if below else ""
        yield f"{said}."
    ends = own.pivot_table(index="dataset", columns="rate", values="gain")
    if ends.shape[1] > 1:
        both = ends[[ends.columns[0], ends.columns[-1]]].dropna()
        low, high = both.columns
        falls = int((both[low] > both[high]).sum())
        yield (
            f"The mean gain of {title} is {both[low].mean():+.1f} points at {low:g} % and "
            f"{both[high].mean():+.1f} at {high:g} %; it is larger at {low:g} % on {falls} of "
            f"{_datasets(len(both))}."
        )


def _from_to(gains: pd.Series[float], size: int) -> str:
    if size == 1:
        return f"{gains.iloc[0]:+.1f} points"
    return f"by {gains.min():+.1f} to {gains.max():+.1f} points"


def _datasets(number: int) -> str:
    return f"{number} dataset{'s' if number != 1 else ''}"


def of_best(study: Study, collected: Collected, method: str) -> Iterator[str]:
    """Number of cells where the method cannot be told from the best."""
    frames: list[pd.DataFrame] = []
    for name, spec in study.tables.items():
        if spec.kind == "accuracy":
            frame = collected.frame(name)
            if "best_group" in frame and (frame["method"] == method).any():
                frames.append(frame)
    if not frames:
        return
    frame = max(frames, key=lambda rows: rows["method"].nunique())
    rows = frame[(frame["method"] == method) & (frame["selection"] == RULE)]
    judged = rows["best_group"].dropna()
    if len(judged):
        methods, name = frame["method"].nunique(), frame["table"].iloc[0]
        yield (
            f"{study.methods[method].title} is the best of {methods} methods, or cannot be told "
            f"from the best, in {int(judged.sum())} of {len(judged)} cells of {name}."
        )


def of_attention(study: Study, collected: Collected, method: str) -> Iterator[str]:
    """The share of attention on the object, of the method and of fine-tuning."""
    metrics = collected.metrics
    if "attention_mass" not in metrics:
        return
    chosen = collected.selected[collected.selected["selection"] == RULE]
    runs = (
        chosen[[*CELL, *POINT]].merge(metrics, on=[*CELL, *POINT]).dropna(subset="attention_mass")
    )
    runs = runs[runs["mix"] == "none"]
    places = runs.pivot_table(
        index=["dataset", "source", "rate"], columns="method", values="attention_mass"
    )
    if not {method, BASELINE} <= set(places):
        return
    both = 100 * places[[method, BASELINE]].dropna()
    if len(both):
        more = int((both[method] > both[BASELINE]).sum())
        title, base = study.methods[method].title, study.methods[BASELINE].title
        yield (
            f"{title} puts {both[method].mean():.0f} % of its [cls] attention on the object, "
            f"{base} {both[BASELINE].mean():.0f} % (means); {title} more in {more} of "
            f"{len(both)} cells."
        )
