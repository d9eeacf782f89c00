"""A failed run leaves no table unmade: it stands in the hole by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gta import files, results
from gta.study import Study
from tests.support.left import finish
from tests.support.staged import StagedStudy

KEY = "gta-1"


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[StagedStudy]:
    study = StagedStudy(tmp_path, {})
    study.ready()
    try:
        yield study
    finally:
        study.end()


def test_tables_name_a_failed_run_and_are_made_again_when_it_is_there(
    staged: StagedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(staged.folder)
    study = Study.load(["study.yaml"])
    for run in study.runs:
        source = files.file_digest(study.weights(run.source))
        finish(study, run, data_digest="staged", source_digest=source)
    part, table = staged.part(KEY), study.folder / "tables" / "small.md"
    metrics = study.folder / "metrics.parquet"
    staged.finish(staged.start("--cores", "1", "--", str(metrics)), seconds=900)
    away = part.rename(part.with_name("away"))
    metrics.unlink()

    staged.order(KEY, "fail")
    head = staged.start("--cores", "1", "--", str(table))
    assert head.wait(900) == 1
    log = study.folder / "logs" / "train" / f"{'/'.join(part.parts[3:-1])}.log"
    assert log.exists()
    why = f"failed: the loss is not finite at iteration 3 (staged); log: {log}"
    assert why in table.read_text(encoding="utf-8")
    assert "1 of 3 runs are missing; tables without them:" in staged.said

    away.rename(part)  # with the date and the content of before
    staged.finish(staged.start("--cores", "1", "--", str(table)), seconds=900)
    assert len(results.read_collected(study)) == 3
    assert "failed" not in table.read_text(encoding="utf-8")
    assert not staged.events("trained")


def test_where_runs_alone_are_asked_for_no_table_is_made(staged: StagedStudy) -> None:
    staged.order(KEY, "fail")
    head = staged.start("--cores", "1", "--", str(staged.part("gta-0.1")), str(staged.part(KEY)))
    assert head.wait(900) == 1
    assert len(staged.events("trained")) == 1
    assert not (staged.folder / "results/staged/tables").exists()
