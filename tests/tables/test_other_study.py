"""Another study beside ours, in place of the paper; cells that came from another machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gta import files, results
from gta.errors import GtaError
from gta.files import file_digest
from gta.page.details import details
from gta.results.origins import Origin
from gta.study import Study
from gta.tables import make, read_all, to_markdown
from tests.support.left import finish
from tests.support.staged import STUDY, TABLES


@pytest.fixture
def done(workdir: Path) -> Callable[..., Study]:
    """Leave a finished study: fine-tuning at 50 %, GTA 1 above at lambda 1."""
    Path("tables.yaml").write_text(yaml.safe_dump(TABLES))

    def done(name: str, gain: float, **changes: Any) -> Study:
        content = {**STUDY, "study": name, "seeds": [0, 1], **changes}
        config = Path("results", name, "config.yaml")
        files.write_text(config, yaml.safe_dump(content))
        study = Study.load([config])
        for run in study.runs:
            acc1 = 50 + run.seed + (run.method == "gta") * gain
            finish(study, run, acc1=acc1, heldout_acc1=40 + run.lam, git_commit="abc123" * 6)
        table, _ = results.collect_metrics(study, lambda run: Origin("data-1", "source-1"))
        results.write_collected(study, table)
        return study

    return done


def test_another_study_stands_in_place_of_the_paper(done: Callable[..., Study]) -> None:
    done("other", 10.0, recipe={**STUDY["recipe"], "lr": 2e-3})
    study = done("one", 3.0, reference={"study": "results/other"})
    frame, shown = make(study, "small")
    gta = frame[(frame["method"] == "gta") & (frame["selection"] == "heldout")].iloc[0]
    assert (gta["acc1_mean"], gta["reference_mean"], gta["delta"]) == (53.5, 60.5, -7.0)
    assert (gta["reference_lam"], gta["reference_n"], bool(gta["within"])) == (1.0, 2, False)
    assert gta["differs"] == "Of other: made with another recipe."
    text = to_markdown(shown)
    assert "60.50 ± 0.71 (λ 1" in text
    assert "-7.00 ≉" in text
    assert "[1] Of other: made with another recipe." in text
    assert "Configs: recipe.lr 0.001 here, 0.002 there." in text
    plain = done("plain", 3.0)
    assert {study.digest(run) for run in study.runs} == {plain.digest(run) for run in plain.runs}


@pytest.mark.parametrize(
    ("name", "said"), [("results/none", "is not the results folder"), ("results/one", "itself")]
)
def test_a_reference_that_is_no_other_study_is_an_error(
    done: Callable[..., Study], name: str, said: str
) -> None:
    with pytest.raises(GtaError, match=f"reference.study: .*{said}"):
        make(done("one", 3.0, reference={"study": name}), "small")


def test_cells_of_imported_runs_say_where_they_were_trained(done: Callable[..., Study]) -> None:
    study = done("one", 3.0)
    brought = [run for run in study.runs if run.lam == 1.0]
    parts = {study.run_files(run).metrics for run in brought}
    manifest = {
        "machine": "elsewhere",
        "written_at": "2026-11-01T00:00:00Z",
        "runs": [run.name for run in brought],
        "files": {p.relative_to(study.folder).as_posix(): file_digest(p) for p in parts},
    }
    files.write_text(study.folder / "imports" / "a.json", json.dumps(manifest))
    origin = "elsewhere, commit abc123abc1, archived 2026-11-01"
    note = f"Imported, not trained here: seeds 0, 1 from {origin}."
    _, shown = make(study, "small")
    marked = [line for line in to_markdown(shown).splitlines() if "[1]" in line]
    assert marked[1:] == [f"[1] {note}  "]
    assert marked[0].startswith("| Mini near | GTA |")
    assert marked[0].count("[1]") == 1  # by held-out accuracy; by test accuracy it is another
    told_of = details(study, read_all(study), {})
    told = {(run["lam"], run["imported"]) for cell in told_of for run in cell["runs"]}
    assert told == {(0.0, ""), (0.1, ""), (1.0, origin)}
    finish(study, brought[0], acc1=50.0)  # trained again here
    assert "seed 1 from elsewhere" in to_markdown(make(study, "small")[1])
