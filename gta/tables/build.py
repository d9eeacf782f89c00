"""From metrics to the tidy frame of a table: one row a cell, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from gta.catalog import MIXES
from gta.errors import GtaError
from gta.results import State
from gta.study import Run, Study, TableSpec
from gta.tables.selection import CELL, IDENTITY, SELECTIONS, describe, select

PERCENT = 100.0
COUNTS = ["classes", "train_images", "test_images"]
PROTOCOL = ["protocol", "mass", "heads", "ignore_void"]
MEASURES = ["jaccard", "matched_jaccard", "attention_mass"]
PRETRAINED = "pretrained"  # a source before fine-tuning, as the reference file names it


def accuracy(
    study: Study,
    name: str,
    metrics: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    states: Mapping[Run, State] | None = None,
) -> pd.DataFrame:
    """A table of accuracies.

    Args:
        study: the study.
        name: of the table.
        metrics: as ``gta.results.read_collected`` gives them.
        reference: the paper's: table, dataset, source, method, mix, rate, acc1_mean, acc1_std.
        states: why runs are not in ``metrics``, where that is known.

    Returns:
        A row for each selection and cell, in the order of display: ``table, selection, dataset,
        source, method, mix, rate, lam, n, acc1_mean, acc1_std``; where a cell is the paper's,
        ``paper_mean, paper_std, delta``; ``chosen_at`` (rate at which lambda was chosen) and
        ``missing`` (why a cell is a hole, else empty). Accuracies in percent, deviations with
        ddof 1, ``delta`` ours less the paper's.

    Raises:
        GtaError: if a run stands twice in ``metrics``.
    """
    table = cells_of(study, name).merge(select(study, metrics, states), on=CELL, how="left")
    table = in_order(study, name, table.assign(table=name))
    identity = ["table", "selection", "dataset", "source", "method", "mix", "rate"]
    columns = [*identity, "lam", "n", "acc1_mean", "acc1_std"]
    if reference is not None:
        keys = ["table", *CELL]
        paper = reference.rename(columns={"acc1_mean": "paper_mean", "acc1_std": "paper_std"})
        paper = paper[[*keys, "paper_mean", "paper_std"]].astype({"rate": float})
        joined = table.merge(paper, on=keys, how="left", validate="many_to_one")
        if joined["paper_mean"].notna().any():
            table = joined.assign(delta=joined["acc1_mean"] - joined["paper_mean"])
            columns += ["paper_mean", "paper_std", "delta"]
    return table[[*columns, "chosen_at", "missing"]]


def statistics(
    study: Study,
    name: str,
    counts: Iterable[Mapping[str, Any]],
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A table of the data sets.

    Args:
        study: the study.
        name: of the table.
        counts: dataset, classes, train_images and test_images of each prepared data set.
        reference: the paper's, of the same columns.

    Returns:
        A row for each of the study's data sets: ``dataset, classes, train_images, test_images``;
        where one is the paper's, ``paper_classes, paper_train_images, paper_test_images``; and
        ``missing``.
    """
    found = pd.DataFrame(list(counts), columns=["dataset", *COUNTS])
    table = pd.DataFrame({"dataset": study.config.datasets}).merge(found, "left", on="dataset")
    absent = table["classes"].isna()
    table["missing"] = ("data set " + table["dataset"] + " (not prepared)").where(absent, "")
    columns = ["dataset", *COUNTS]
    if reference is not None:
        paper = reference.set_index("dataset")[COUNTS].add_prefix("paper_").reset_index()
        joined = table.merge(paper, "left", on="dataset", validate="one_to_one")
        if joined["paper_classes"].notna().any():
            table, columns = joined, [*columns, *(f"paper_{count}" for count in COUNTS)]
    table = table.astype(dict.fromkeys(columns[1:], "Int64"))
    return table[[*columns, "missing"]]


def segmentation(
    study: Study,
    name: str,
    metrics: pd.DataFrame,
    measured: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    states: Mapping[Run, State] | None = None,
) -> pd.DataFrame:
    """A table of masks from attention: sources before fine-tuning, and runs at their lambda.

    Args:
        study: the study.
        name: of the table.
        metrics: as ``gta.results.read_collected`` gives them; they choose lambda.
        measured: of the schema ``gta.segmentation.SEGMENTATION``, shares in [0, 1].
        reference: the paper's on PASCAL VOC 2012: model and jaccard, in [0, 1].
        states: why runs are not in ``metrics``, where that is known.

    Returns:
        A row for each selection, model and protocol: ``table, selection, model, dataset, rate,
        source, mix, lam, n, evaluated_on, protocol, mass, heads, ignore_void, jaccard,
        jaccard_std, matched_jaccard, matched_jaccard_std, attention_mass,
        attention_mass_std``; where measured on VOC,
        ``paper_jaccard, delta``; ``chosen_at`` and ``missing``. In percent, means and deviations
        (ddof 1) over seeds. ``dataset`` is the one trained on, ``rate`` and ``lam`` are NaN for
        a source before fine-tuning.

    Raises:
        GtaError: if a run stands twice in ``metrics``.
    """
    cells = cells_of(study, name).merge(select(study, metrics, states), on=CELL, how="left")
    protocols = measured[PROTOCOL].drop_duplicates().to_dict("records") or [dict.fromkeys(PROTOCOL)]
    rows = []
    for selection in SELECTIONS:
        own = cells[cells["selection"] == selection]
        sources: dict[tuple[str, str], None] = {}
        for values in own.itertuples(index=False, name=None):
            cell = dict(zip(own.columns, values, strict=True))
            for images in _evaluated_on(measured, cell["dataset"]):
                sources[cell["source"], images] = None
                rows += _model_rows(study, {**cell, "evaluated_on": images}, protocols, measured)
        for source, images in sources:
            rows += _pretrained_rows(selection, source, images, protocols, measured)
    table = pd.DataFrame(rows).assign(table=name)
    table[[f"{m}{s}" for m in MEASURES for s in ("", "_std")]] *= PERCENT
    columns = ["table", "selection", "model", "dataset", "rate", "source", "mix", "lam", "n"]
    columns += ["evaluated_on", *PROTOCOL, *(f"{m}{s}" for m in MEASURES for s in ("", "_std"))]
    on_voc = table["evaluated_on"] == "voc12"
    if reference is not None and on_voc.any():
        paper = table["model"].map(reference.set_index("model")["jaccard"]) * PERCENT
        table["paper_jaccard"] = paper.where(on_voc)
        table["delta"] = table["jaccard"] - table["paper_jaccard"]
        columns += ["paper_jaccard", "delta"]
    return in_order(study, name, table)[[*columns, "chosen_at", "missing"]]


def read_reference(study: Study, name: str) -> pd.DataFrame | None:
    """The paper's numbers for a table; None where the paper has none.

    Raises:
        GtaError: if the file that ``tables.yaml`` names cannot be read.
    """
    wanted = study.specs[name].reference
    if wanted is None:
        return None
    path = Path(study.config.tables_file).parent / "reference" / f"{wanted}.csv"
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise GtaError(f"{path}: cannot be read: {error} (reference of {name})") from None


def cells_of(study: Study, name: str) -> pd.DataFrame:
    """The cells of a table or figure, each once."""
    cells = {tuple(getattr(run, field) for field in CELL) for run in study.runs_of(name)}
    return pd.DataFrame(sorted(cells), columns=CELL)


def order_of(study: Study, name: str) -> dict[str, list[Any]]:
    """The order in which the values of a field stand in a table: that of the config."""
    spec: TableSpec = study.specs[name]
    methods = [method for cells in spec.cells for method in cells.method]
    sources = [study.config.sources[role] for cells in spec.cells for role in cells.source]
    return {
        "selection": list(SELECTIONS),
        "dataset": study.config.datasets,
        "evaluated_on": study.config.datasets,
        "source": list(dict.fromkeys(sources)),
        "method": list(dict.fromkeys([*methods, *study.config.extra_methods])),
        "model": list(dict.fromkeys([PRETRAINED, *methods, *study.config.extra_methods])),
        "mix": list(MIXES),
        "rate": study.config.rates,
    }


def in_order(study: Study, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Sort a tidy frame's rows as ``order_of`` says."""
    order = order_of(study, name)
    fields = ["selection", "evaluated_on", "dataset", "source", "method", "model", "mix", "rate"]
    by = [field for field in fields if field in table]
    ranks = table[by].apply(lambda column: column.map(_ranks(order[str(column.name)])))
    return table.loc[ranks.sort_values(by, kind="stable", na_position="first").index].reset_index(
        drop=True
    )


def _ranks(values: list[Any]) -> dict[Any, int]:
    return {value: rank for rank, value in enumerate(values)}


def _evaluated_on(measured: pd.DataFrame, dataset: str) -> list[str]:
    """The data sets on whose masks the models of a data set were measured; else its own."""
    return list(measured.loc[measured["dataset"] == dataset, "evaluated_on"].unique()) or [dataset]


def _pretrained_rows(
    selection: str,
    source: str,
    images: str,
    protocols: list[dict[Any, Any]],
    measured: pd.DataFrame,
) -> list[dict[str, Any]]:
    """A source before fine-tuning, on the test images of a data set."""
    before = measured["method"].isna() & (measured["source"] == source)
    own = measured[before & (measured["evaluated_on"] == images)]
    about: dict[str, Any] = {"selection": selection, "model": PRETRAINED, "source": source}
    about |= {"evaluated_on": images, "dataset": None, "mix": None}
    about |= {"rate": nan, "lam": nan, "chosen_at": nan}
    missing = "" if len(own) else f"{source} on the masks of {images} (not measured)"
    return [about | _means(own, protocol, missing) for protocol in protocols]


def _model_rows(
    study: Study,
    cell: dict[str, Any],
    protocols: list[dict[Any, Any]],
    measured: pd.DataFrame,
) -> list[dict[str, Any]]:
    """The runs of a cell at its lambda, over seeds."""
    kept = ["selection", "dataset", "source", "mix", "rate", "lam", "chosen_at", "evaluated_on"]
    about = {"model": cell["method"], **{field: cell[field] for field in kept}}
    keys = [*CELL, "lam", "evaluated_on"]
    own = measured.merge(pd.DataFrame([{field: cell[field] for field in keys}]), on=keys)
    missing = cell["missing"]
    if not missing:
        identity = {field: cell[field] for field in IDENTITY if field != "seed"}
        runs = [Run(**identity, seed=seed) for seed in study.config.seeds]
        absent = [run for run in runs if run.seed not in set(own["seed"])]
        unmeasured = State("missing", "attention not measured")
        missing = "; ".join(describe(run, {run: unmeasured}) for run in absent)
    return [about | _means(own, protocol, missing) for protocol in protocols]


def _means(own: pd.DataFrame, protocol: dict[Any, Any], missing: str) -> dict[str, Any]:
    """Mean and deviation of each measure over seeds; NaN in a hole."""
    rows = own[own["protocol"] == protocol["protocol"]]
    row: dict[str, Any] = {**protocol, "n": len(rows), "missing": missing}
    for measure in MEASURES:
        row[measure] = nan if missing else rows[measure].mean()
        row[f"{measure}_std"] = nan if missing else rows[measure].std()
    return row
