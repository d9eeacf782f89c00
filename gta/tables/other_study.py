"""Another study in place of the paper: its cells beside ours, and what its runs differ in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gta import results
from gta.errors import GtaError, listed
from gta.study import Study
from gta.study.run import CELL
from gta.tables.notes import WITHIN
from gta.tables.reference import DEVIATIONS

# Keys of a config that decide the numbers of its runs, but for which runs there are.
SECTIONS = ("recipe", "overrides", "methods", "split", "images", "procedural", "sources", "seeds")
DIGESTS = {"recipe_digest": "recipe", "data_digest": "data", "source_digest": "source"}


def open_reference(study: Study) -> Study:
    """The study that the config's ``reference`` names.

    Raises:
        GtaError: if there is none, or it is the study itself.
    """
    folder = study.reference_study
    assert folder is not None
    where = f"{study.file_of('reference')}: reference.study"
    if folder.absolute() == study.folder.absolute():
        raise GtaError("is the study itself; name another", where=where)
    if not (folder / "config.yaml").is_file():
        raise GtaError(f"{folder} is not the results folder of a study", where=where)
    # its config tells paths relative to its own project
    project = folder.absolute().parent.parent if folder.parent.name == "results" else study.root
    root = study.root if project == study.root.absolute() else Path(project)
    return Study.load([folder / "config.yaml"], root, folder)


def reference_cells(study: Study, other: Study, selected: pd.DataFrame) -> pd.DataFrame:
    """The other study's cells by the same rule for lambda, and what their runs differ in.

    Args:
        study: ours.
        other: the other.
        selected: the other's cells, as ``gta.tables.select`` returns them.

    Returns:
        A row for each selection and cell: ``reference_mean``, ``reference_std``, ``reference_lam``
        (NaN where there was nothing to choose), ``reference_n`` and ``differs``: a sentence that
        names which of recipe, data and source are not those of our runs; else empty.
    """
    names = {"acc1_mean": "mean", "acc1_std": "std", "n": "n", "lam": "lam", "tuned": "tuned"}
    renamed = {column: f"reference_{name}" for column, name in names.items()}
    table = selected.rename(columns=renamed)[["selection", *CELL, *renamed.values()]]
    several = table["method"].map(lambda method: len(other.methods.points(method)) > 1)
    table["reference_lam"] = table["reference_lam"].where(several)
    table["reference_tuned"] = table["reference_tuned"].where(several, "")
    ours, theirs = (_made_of(one) for one in (study, other))
    both = theirs.merge(ours, on=CELL, suffixes=("", "_ours"))
    both["differs"] = [
        _sentence(other, [w for d, w in DIGESTS.items() if row[d] != row[f"{d}_ours"]])
        for row in both.to_dict("records")
    ]
    return table.merge(both[[*CELL, "differs"]], on=CELL, how="left")


def _made_of(study: Study) -> pd.DataFrame:
    """Digests of each cell's runs that are done, as sorted texts."""
    metrics = results.read_collected(study, *DIGESTS)
    groups = metrics.groupby(CELL)[list(DIGESTS)]
    return groups.agg(_joined).reset_index()


def _joined(digests: pd.Series[str]) -> str:
    return ",".join(sorted(set(digests)))


def _sentence(other: Study, what: list[str]) -> str:
    return f"Of {other.name}: made with another {' and '.join(what)}." if what else ""


def other_name(study: Study) -> str:
    """Heading of the other study's numbers."""
    return str(study.reference_study and study.reference_study.name)


def other_remark(study: Study) -> str:
    """Note that names the other study and the keys in which the configs differ."""
    other = open_reference(study)
    keys = differing_keys(
        study.config.model_dump(mode="json"), other.config.model_dump(mode="json")
    )
    told = listed(
        [f"{key} {_said(ours)} here, {_said(theirs)} there" for key, ours, theirs in keys]
    )
    return (
        f"{other_name(study)}: the study in {study.reference_study}, λ by the same rule; Δ: ours "
        f"less its; {WITHIN[True]}: within {DEVIATIONS:g} pooled standard deviations, "
        f"{WITHIN[False]}: beyond. Configs: {told or 'alike in all that decides numbers'}."
    )


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys of two configs that decide numbers and differ: key, first value, second value."""
    a, b = (dict(_flat({name: config.get(name) for name in SECTIONS})) for config in (one, other))
    return [
        (key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)
    ]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _flat(below, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _said(value: Any) -> str:
    return (
        "none" if value in (None, {}) else f"{value:g}" if isinstance(value, float) else str(value)
    )
