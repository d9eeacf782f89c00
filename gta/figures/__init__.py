"""Figures of a study: drawing is apart from gathering, so that it can be tested without models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from gta.errors import GtaError
from gta.figures.lambda_curves import draw_over_lambda
from gta.figures.style import save
from gta.study import Run, Study
from gta.tables import over_lambda
from gta.tables.selection import gather as accuracies_of

__all__ = ["draw_over_lambda", "lambda_points", "make", "write"]


def make(study: Study, name: str, metrics: pd.DataFrame) -> Figure:
    """Draw one of a study's figures from what its runs have left.

    Args:
        study: the study.
        name: of the figure.
        metrics: as ``gta.results.read_collected`` gives them.

    Raises:
        GtaError: if a store or weights cannot be opened, or the figure cannot be drawn.
    """
    kind = study.figures[name].kind
    if kind == "lambda":
        return draw_over_lambda(*lambda_points(study, name, metrics))
    # torch and timm take seconds to import, and figure 4 needs neither
    from gta.figures.gather import map_rows, mask_note, mask_rows
    from gta.figures.panels import draw_maps, draw_masks, draw_nothing

    if kind == "maps":
        titles, rows = map_rows(study, name, metrics)
        return draw_maps(rows, titles)
    titles, rows = mask_rows(study, name, metrics)
    if not rows:
        return draw_nothing("No data set here has object masks.")
    return draw_masks(rows, titles, mask_note(study))


def write(study: Study, name: str, figure: Figure) -> list[Path]:
    """Write ``results/<study>/figures/<figure>.pdf`` and ``.png``."""
    return save(figure, study.folder / "figures" / name)


def lambda_points(
    study: Study, name: str, metrics: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, str, str]:
    """The arguments of ``draw_over_lambda``: points, fine-tuning, the method and its reduction.

    Raises:
        GtaError: if the figure has more than one method, source or mix.
    """
    runs = study.runs_of(name)
    lines = {(run.source, run.method, run.mix) for run in runs}
    if len(lines) != 1:
        raise GtaError(
            f"{study.config.tables_file}: {name}: accuracy over lambda is drawn of one source, "
            "method and mix"
        )
    ((source, method, mix),) = lines
    places = {(run.dataset, run.rate) for run in runs}
    tuned = [
        run
        for run in study.runs
        if (run.dataset, run.rate) in places and _is_baseline(run, source, mix)
    ]
    points, baseline = (
        _in_order(study, over_lambda(accuracies_of(sorted(some), metrics)))
        for some in (runs, tuned)
    )
    return points, baseline, study.methods[method].title, study.methods.lam_of(method)


def _is_baseline(run: Run, source: str, mix: str) -> bool:
    return run.method == "finetune" and run.source == source and run.mix == mix


def _in_order(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Sort as the config names data sets and rates, and name data sets as readers see them."""
    config = study.config
    ranked = points.assign(
        first=points["dataset"].map(config.datasets.index),
        second=points["rate"].map(config.rates.index),
    )
    points = points.loc[ranked.sort_values(["first", "second", "lam"]).index]
    titles = {dataset: study.dataset_info(dataset).title for dataset in config.datasets}
    return points.assign(dataset=points["dataset"].map(titles)).reset_index(drop=True)
