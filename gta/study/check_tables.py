"""Checks of a study's tables and figures: masks, weights, references, baselines, rates."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gta.errors import GtaError
from gta.study.faults import Faults, listed, nearest
from gta.study.run import CELL

if TYPE_CHECKING:
    from gta.study import Study


def check_tables(study: Study, faults: Faults) -> None:
    """Note what the tables and figures of a study cannot show, with file and key.

    Args:
        study: expanded.
        faults: where it is noted.
    """
    for name, (file, key) in study.places_of_specs.items():
        for check_one in (_axes, _reference, _weights, _masks, _baseline, _rates):
            for below, what in check_one(study, name):
                faults.add(GtaError(what, where=f"{file}: {key}{below}"))
        try:
            study.kind(name).check_study(study, name)
        except ValueError as error:
            faults.add(GtaError(str(error), where=f"{file}: {key}"))


Found = Iterator[tuple[str, str]]  # the key below the stanza, and the fault


def _axes(study: Study, name: str) -> Found:
    """Cells that the table has one place for."""
    spec = study.specs[name]
    if not study.kind(name).axes:
        return
    axes = {*spec.groups, *spec.rows, *spec.columns}
    cells = study.cells_of(name)
    for position, field in enumerate(CELL):
        values = list(dict.fromkeys(cell[position] for cell in cells))
        if len(values) > 1 and field not in axes:
            has = listed(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            yield ".rows", f"cells differ in {field} ({has}), which is not among the axes; add it"
    if not spec.groups and not spec.rows:
        yield ".rows", "names no field; add method"


def _reference(study: Study, name: str) -> Found:
    """A reference that is missing, or that is for another kind of table."""
    spec, kind = study.specs[name], study.kind(name)
    if spec.reference is None:
        return
    path = study.reference_file(spec.reference)
    if not path.is_file():
        folders = study.reference_folders
        found = sorted({file.stem for folder in folders for file in folder.glob("*.csv")})
        parts = (
            f"there is no {path}",
            nearest(spec.reference, found),
            f"there are: {', '.join(found) or 'none'}",
        )
        yield ".reference", "; ".join(filter(None, parts))
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield ".reference", f"{path}: cannot be read: {error}"
        return
    lacking = [column for column in kind.reference_columns if column not in columns]
    if lacking:
        yield ".reference", f"kind {spec.kind} needs columns that {path} lacks: {listed(lacking)}"


def _weights(study: Study, name: str) -> Found:
    """Trained weights that a kind needs and the config does not keep."""
    spec = study.specs[name]
    if not study.kind(name).weights:
        return
    if spec.weights is False:
        yield ".weights", f"kind {spec.kind} needs trained weights; leave `weights` out"
    elif study.config.keep_weights == "none":
        yield (
            "",
            f"kind {spec.kind} needs trained weights, but the config keeps none; "
            "set keep_weights: figures, or leave it out",
        )


def _masks(study: Study, name: str) -> Found:
    """Object masks that a kind needs and no dataset has."""
    if not study.kind(name).masks or study.config.segmentation.dataset is not None:
        return
    datasets = sorted({run.dataset for run in study.runs_of(name)})
    if datasets and not any(study.has_masks(dataset) for dataset in datasets):
        yield (
            "",
            f"needs object masks, and none of {', '.join(datasets)} has any; set "
            "segmentation.dataset: voc12, add masks (docs/data.md), or leave it out",
        )


def _baseline(study: Study, name: str) -> Found:
    """Cells that the baseline is not run beside."""
    baseline = study.specs[name].baseline
    if baseline is None:
        return
    runs = study.runs_of(name)
    places = {(run.dataset, run.source, run.mix, run.rate) for run in runs}
    there = {(r.dataset, r.source, r.mix, r.rate) for r in runs if r.method == baseline}
    if places - there:
        dataset, source, mix, rate = min(places - there)
        yield (
            ".baseline",
            f"{baseline} does not run on {dataset} at {rate:g} % from {source} with mix {mix}; "
            "add it to the cells and to `methods`",
        )


def _rates(study: Study, name: str) -> Found:
    """Rates that a figure names and the study lacks."""
    if study.kind(name).place != "figures":
        return
    for position, cells in enumerate(study.specs[name].cells):
        for rate in cells.rate if isinstance(cells.rate, list) else ():
            if isinstance(rate, float) and rate not in study.config.rates:
                has = ", ".join(f"{one:g}" for one in study.config.rates)
                what = f"the study has no rate {rate:g}; use lowest, highest or one of {has}"
                yield f".cells.{position}.rate", what
