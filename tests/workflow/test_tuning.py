"""One call of Snakemake chooses lambda on one seed, runs it on the others, and can be resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gta import results
from gta.study import Study
from tests.support.staged import STUDY, StagedStudy


def test_the_dag_grows_after_the_choice_and_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = StagedStudy(tmp_path, {})
    changes = {"seeds": [0, 1], "tune": {"seeds": [0]}, "pack": ["method", "lam"]}
    staged.write("study.yaml", {**STUDY, **changes})
    staged.ready()
    monkeypatch.chdir(tmp_path)
    target = "results/staged/metrics.parquet"
    staged.order("gta-0.1", "ok", "fail")  # on the seed that chooses, then on the other
    try:
        head = staged.start("--cores", "1", "--", target)
        assert head.wait(900) == 1
        assert len(Study.load(["study.yaml"]).runs) == 2 + 2 + 1  # chosen, not yet trained
        assert [len(staged.events("trained", key)) for key in ("finetune-0", "gta-1")] == [2, 1]
        staged.finish(staged.start("--cores", "1", "--", target), seconds=900)
    finally:
        staged.end()
    study = Study.load(["study.yaml"])
    assert len(results.read_collected(study)) == len(study.runs)
    # nothing was trained twice, and of the lambda that was not chosen nothing but what chose
    assert len(staged.events("trained", "gta-0.1")) == 2
    assert len(staged.events("trained")) == len(study.runs)
    assert staged.said.count("choose lambda on the seeds 0") == 1
