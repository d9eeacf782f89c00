"""What is known from the config stops when it is read, and not after training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.study.test_bad_input import lines_of, override

CELLS = {"source": ["main"], "method": ["finetune", "gta"]}
TABLE = {"kind": "accuracy", "title": "T", "caption": "C.", "cells": [CELLS], "rows": ["method"]}


def table(**keys: Any) -> Callable[[dict[str, Any]], object]:
    """A config with a table of its own."""
    return lambda c: c.update(own_tables={"t": {**TABLE, **keys}})


def figure(kind: str, method: list[str], **keys: Any) -> Callable[[dict[str, Any]], object]:
    """A config with a figure of its own."""
    cells = [{"source": ["main"], "method": method, **keys.pop("cells", {})}]
    stanza = {"kind": kind, "title": "F", "caption": "C.", "cells": cells, **keys}
    return lambda c: c.update(own_figures={"f": stanza})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (table(columns=["method"]), "own_tables.t: 'method' stands in two of groups, rows and col"),
        (table(rows=["rate", "rate"]), "own_tables.t.rows: a value is named twice"),
        (table(kind="acuracy"), "own_tables.t.kind: there is no kind 'acuracy'; did you mean 'ac"),
        (
            table(reference="voc12_jaccard"),
            "own_tables.t.reference: kind accuracy needs columns that ",
        ),
        (
            table(reference="paper_acuracy"),
            "own_tables.t.reference: there is no ",
        ),
        (
            table(kind="gains", baseline="finetune"),
            "own_tables.t.rows: cells differ in dataset (mini_far, mini_near), which is not among",
        ),
        (
            table(
                kind="gains",
                baseline="finetune",
                groups=["dataset", "source", "rate"],
                cells=[
                    {"source": ["main"], "method": ["gta"]},
                    {"source": ["supervised"], "method": ["finetune", "gta"]},
                ],
            ),
            "own_tables.t.baseline: finetune does not run on ",
        ),
        (
            table(kind="segmentation", weights=False),
            "own_tables.t.weights: kind segmentation needs trained weights; leave `weights` out",
        ),
        (figure("lambda", ["finetune"]), "own_figures.f: kind lambda draws accuracy over λ, and"),
        (
            figure("maps", ["gta"], cells={"rate": [15, 30]}),
            "own_figures.f.cells.0.rate: the study has no rate 30; use lowest, highest or one of",
        ),
        (
            lambda c: c.update(overrides=[{"rate": [r], "recipe": {"lr": r}} for r in (15, 15)]),
            "overrides.0.recipe: later overrides set all of its keys for all of its runs",
        ),
        (lambda c: override(c, rate=[]), "overrides.0.rate: "),
        (lambda c: c.update(restrict={"table2": {"rates": []}}), "restrict.table2.rates: "),
        (lambda c: c["recipe"].update(min_lr=1), "recipe: min_lr must not be above lr"),
        (lambda c: c["recipe"].update(warmup_iterations=4), "recipe: warmup_iterations must be"),
        (
            lambda c: c["recipe"].update(augment={"randaugment": "rand-m9.5"}),
            "recipe.augment.randaugment: 'rand-m9.5': m is a whole number from 0 to 30",
        ),
        (
            lambda c: c["recipe"].update(augment={"randaugment": "rand-n100000"}),
            "recipe.augment.randaugment: 'rand-n100000': n is a whole number from 1 to 16",
        ),
        (
            lambda c: c.update(digests={"CUB_200_2011.tar": "0123abcd"}),
            "digests.CUB_200_2011.tar: no dataset, source or split list of the catalog has",
        ),
        (
            lambda c: c.update(tables=["table4"], keep_weights="none"),
            "tables.table4: kind segmentation needs trained weights, but the config keeps none",
        ),
        (
            lambda c: (
                c.update(own_tables={"t": {**TABLE, "kind": "agreement", "cells": []}})
                or c.update(tables=["table1"], figures=[])
            ),
            "own_tables.t: kind agreement sums up tables of accuracy with a reference",
        ),
    ],
)
def test_what_cannot_work_is_said(
    change: Callable[[dict[str, Any]], object],
    line: str,
    tiny_config: dict[str, Any],
    workdir: Path,
) -> None:
    change(tiny_config)
    lines = [one.partition(": ")[2] for one in lines_of(tiny_config, workdir)]
    assert [one for one in lines if one.startswith(line)], lines


def test_faults_of_different_stages_are_told_together(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    tiny_config["methods"]["gta"]["blocks"] = [7]
    tiny_config["methods"]["bss"]["k"] = 1000
    tiny_config["methods"]["l2_sp"]["hed"] = 1
    tiny_config["restrict"] = {"table3": {"datasets": ["cub"]}}
    keys = [line.split(": ")[1] for line in lines_of(tiny_config, workdir)]
    assert {"methods.l2_sp.hed", "restrict.table3.datasets"} <= {*keys}
    assert {"methods.gta.blocks", "methods.bss.k"} <= {*keys}


def test_missing_masks_are_said_once(tiny_config: dict[str, Any], workdir: Path) -> None:
    (workdir / "mine").mkdir()
    tiny_config |= {"own_datasets": {"mine": {"title": "Mine", "path": "mine"}}, "figures": []}
    tiny_config |= {"datasets": ["mine"], "tables": ["table4"], "methods": {}}
    (line,) = lines_of(tiny_config, workdir)
    assert "tables.table4: needs object masks, and none of mine has any" in line


def test_figures_show_the_ends_of_any_rates(tiny_config: dict[str, Any], workdir: Path) -> None:
    from gta.study import Study

    tiny_config |= {"rates": [20, 40, 60], "tables": ["table2"]}
    tiny_config |= {"figures": ["figure1"], "methods": {}}
    study = Study(tiny_config)
    assert {run.rate for run in study.runs_of("figure1")} == {20.0, 60.0}
