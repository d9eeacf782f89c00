"""The ranking of readings of the recipe, on invented accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gta import results
from gta.cli import main
from gta.cli import pilot as command
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.load import merge, read_yaml
from gta.study.run import IDENTITY
from gta.tables import read_reference, select, to_markdown
from gta.tables.kinds.pilot import pilot, pilot_page, ranking, sentence, stanza
from tests.support.frames import metrics_frame

# Points that a reading lies from the paper, in each of its cells.
OFF = {
    "finetune": 2.0,
    "no_mixing": 0.1,
    "no_repeats": -1.0,
    "lr_per_512": -4.0,
    "no_smoothing": 3.0,
    "large_crops": 0.5,
    "plain": -0.3,
}
ORDER = ["no_mixing", "plain", "large_crops", "no_repeats", "finetune", "no_smoothing"]
ORDER += ["lr_per_512"]


def study_of(root: Path, *overlays: str) -> Study:
    content: dict[str, Any] = read_yaml(root / "config" / "paper.yaml")
    for overlay in overlays:
        content = merge(content, read_yaml(root / "config" / overlay))
    return Study({**content, "tables_file": str(root / "config" / "tables.yaml")})


@pytest.fixture
def study(root: Path, workdir: Path) -> Study:
    return study_of(root, "paper-pilot.yaml")


@pytest.fixture
def reference(study: Study) -> pd.DataFrame:
    found = read_reference(study, "pilot")
    assert found is not None
    return found


def papers(reference: pd.DataFrame, dataset: str, rate: float) -> float:
    """The paper's accuracy of fine-tuning in table 2."""
    rows = reference[(reference["table"] == "table2") & (reference["method"] == "finetune")]
    rows = rows[(rows["dataset"] == dataset) & (rows["rate"] == rate)]
    return float(rows["acc1_mean"].iloc[0])


def frame_of(
    study: Study,
    reference: pd.DataFrame,
    off: Mapping[str, float] = OFF,
    without: frozenset[Run] = frozenset(),
) -> pd.DataFrame:
    metrics = metrics_frame(
        study,
        lambda run: papers(reference, run.dataset, run.rate) + off[run.method],
        lambda run: None,
        without,
    )
    return pilot(study, "pilot", select(study, metrics), reference)


def test_readings_are_ranked_by_their_distance(study: Study, reference: pd.DataFrame) -> None:
    ranked = ranking(frame_of(study, reference))
    assert ranked["method"].tolist() == ORDER
    assert ranked["rank"].tolist() == list(range(1, 8))
    assert ranked["distance"].is_monotonic_increasing


def test_a_distance_is_the_root_mean_square_of_the_cells(
    study: Study, reference: pd.DataFrame
) -> None:
    rows = reference[(reference["table"] == "table2") & (reference["method"] == "finetune")]
    squares = []
    for rate in (15, 100):
        deviations = rows[rows["rate"] == rate]["acc1_std"].to_numpy()
        assert len(deviations) == 5
        s = sqrt(float(np.mean(deviations**2)))
        squares += 2 * [(OFF["no_repeats"] / (s * sqrt(1 / 1 + 1 / 3))) ** 2]
    found = ranking(frame_of(study, reference)).set_index("method")["distance"]
    assert found["no_repeats"] == pytest.approx(sqrt(np.mean(squares)))
    twice = ranking(frame_of(study, reference, {m: 2 * o for m, o in OFF.items()}))
    assert twice["distance"].tolist() == pytest.approx([2 * found[m] for m in ORDER])


def test_a_reading_with_a_missing_run_has_no_rank(study: Study, reference: pd.DataFrame) -> None:
    lost = next(run for run in study.runs if run.method == "no_mixing")
    frame = frame_of(study, reference, without=frozenset({lost}))
    assert ranking(frame)["method"].tolist() == ORDER[1:]
    assert frame["method"].tolist()[-4:] == 4 * ["no_mixing"]
    assert (frame["missing"] != "").sum() == 1
    text = to_markdown(pilot_page(study, "pilot", frame))
    assert "| No Mixup or CutMix | - |" in text or "| No Mixup or CutMix |  |" in text
    assert "hole" in text


def test_the_page_prints_the_line_to_take(study: Study, reference: pd.DataFrame) -> None:
    frame = frame_of(study, reference)
    text = to_markdown(pilot_page(study, "pilot", frame))
    assert "1. No Mixup or CutMix, 0." in text
    assert "to take it: `recipe: {base_mix: none}`." in text
    assert "5. Fine-tuning, " in text
    assert "it is the recipe as it stands." in text
    near = papers(reference, "cub", 15)
    assert f"| {near + 0.1:.2f} | {near:.2f} ± " in text
    said = study.kind("pilot").summary(study, "pilot", frame)  # type: ignore[attr-defined]
    row = ranking(frame).to_dict("records")[0]
    assert said == [f"The nearest reading of the recipe: {sentence(study, row)}."]


@pytest.mark.parametrize("method", list(OFF))
def test_the_line_gives_the_readings_recipe(root: Path, study: Study, method: str) -> None:
    run = next(run for run in study.runs if run.method == method)
    line = Path("line.yaml")
    line.write_text(f"study: taken\n{stanza(study, method)}\n", encoding="utf-8")
    taken = Study(merge(study.content, read_yaml(line)))
    plain = next(r for r in taken.runs if r.method == "finetune")
    assert taken.recipe(plain) == study.recipe(run)
    assert taken.digest(plain) == study.digest(run)


def test_what_the_paper_lacks_and_methods_with_lambdas_are_refused(
    study: Study, reference: pd.DataFrame
) -> None:
    less = reference[reference["dataset"] != "pet"]
    selected = select(study, metrics_frame(study, lambda run: 1.0, lambda run: None))
    with pytest.raises(GtaError, match=r"pilot: the reference has no deviation for of=finetune da"):
        pilot(study, "pilot", selected, less)
    stanza_ = study.content["own_tables"]["pilot"]
    cells = [{"source": ["main"], "method": ["finetune", "gta"]}]
    own = {"own_tables": {"pilot": {**stanza_, "cells": cells}}}
    with pytest.raises(GtaError, match=r"gta has lambdas; a pilot compares methods without"):
        Study({**study.content, **own})


def test_the_second_part_has_both_reductions(root: Path, workdir: Path) -> None:
    study = study_of(root, "paper-pilot-lambda.yaml")
    assert len(study.runs) == 8
    assert [study.methods.lam_of(m) for m in ("gta", "gta_sum")] == ["mean", "sum"]
    digests = {run.method: study.digest(run) for run in study.runs}
    assert len(set(digests.values())) == 2


def test_the_command_runs_the_second_part_with_the_nearest_reading(
    root: Path, workdir: Path, reference: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    seen: list[Study] = []

    class Fake:
        """Leaves invented metrics in place of Snakemake's."""

        def __init__(self, study: Study, profile: str | None, arguments: list[str]) -> None:
            self.study = study
            assert (profile, arguments) == ("slurm", ["--quiet"])

        def call(self) -> int:
            seen.append(self.study)
            rows = [
                {field: getattr(run, field) for field in IDENTITY}
                | {"acc1": papers(reference, run.dataset, run.rate) + OFF.get(run.method, 0.0)}
                | {"recipe_digest": self.study.digest(run)}
                for run in self.study.runs
            ]
            schema = pa.schema([*results.IDENTITY, *results.METRICS])
            results.write_collected(self.study, pa.Table.from_pylist(rows, schema=schema))
            return 0

    monkeypatch.setattr(command, "Snakemake", Fake)
    (workdir / "config").symlink_to(root / "config")
    with pytest.raises(SystemExit) as ended:
        main(["pilot", "--profile", "slurm", "--", "--quiet"])
    assert ended.value.code == 0
    first, second = seen
    assert (first.name, second.name) == ("paper-pilot", "paper-pilot-nearest")
    assert second.config.recipe.base_mix == "none"
    assert second.runs == study_of(root, "paper-pilot-lambda.yaml").runs
    assert capsys.readouterr().out.startswith("1. No Mixup or CutMix, 0.")
