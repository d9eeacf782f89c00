"""Reference numbers of the paper or another study, and whether ours lie within two deviations."""

from __future__ import annotations

import pandas as pd

from gta.errors import GtaError
from gta.study import Study

PAPER_SEEDS = 3  # section 4.1 of the paper
DEVIATIONS = 2.0


def read_reference(study: Study, name: str) -> pd.DataFrame | None:
    """The paper's numbers for a table; None where the paper has none.

    Raises:
        GtaError: if the file that the stanza names cannot be read.
    """
    wanted = study.specs[name].reference
    if wanted is None:
        return None
    path = study.reference_file(wanted)
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise GtaError(f"{path}: cannot be read: {error} (reference of {name})") from None


def pooled_std(
    std: pd.Series[float],
    n: pd.Series[int],
    paper_std: pd.Series[float],
    paper_n: pd.Series[int] | int = PAPER_SEEDS,
) -> pd.Series[float]:
    """Pooled sample deviation of ours (n seeds) and the paper's (three).

    sqrt(((n - 1) s^2 + (3 - 1) s_paper^2) / (n - 1 + 3 - 1)); where one of the two is not known
    (the paper's tables 3, 5, 6 and A1 print none, one seed has none), the other alone; NaN
    where neither is.
    """
    ours = (n - 1).where(std.notna(), 0)
    papers = paper_std.notna() * (paper_n - 1)
    squares = ours * std.fillna(0) ** 2 + papers * paper_std.fillna(0) ** 2
    freedom = ours + papers
    return (squares / freedom.where(freedom > 0)) ** 0.5


def within(
    delta: pd.Series[float],
    std: pd.Series[float],
    n: pd.Series[int],
    paper_std: pd.Series[float],
    paper_n: pd.Series[int] | int = PAPER_SEEDS,
) -> pd.Series[bool]:
    """Whether differences lie within two pooled deviations; NA where that cannot be told."""
    pooled = pooled_std(std, n, paper_std, paper_n)
    inside = (delta.abs() <= DEVIATIONS * pooled).astype("boolean")
    return inside.mask(delta.isna() | pooled.isna())
