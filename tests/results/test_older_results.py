"""Results of an earlier commit are read as they are: files of commit daf2174, kept as bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gta import results
from gta.study import Run, Study

OLD = Path(__file__).parent / "daf2174"
RUN = Run("mini_near", 15.0, "tiny_ibot", "gta", "none", 0.01, 0)
KINDS: tuple[results.Kind, ...] = ("metrics", "history", "predictions")


@pytest.fixture
def study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """A study with the old run's results, whose recipe is taken to be today's."""
    study = Study(tiny_config)
    for kind in KINDS:
        path = study.run_files(RUN).path(kind)
        path.parent.mkdir(parents=True)
        shutil.copyfile(OLD / f"{kind}.parquet", path)
    return study


def recipe_digest() -> str:
    digest: str = pq.ParquetFile(OLD / "metrics.parquet").read()["recipe_digest"][0].as_py()
    return digest


def test_a_run_of_the_old_schema_is_done(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "digest", lambda study, run: recipe_digest())
    found = results.result_of(study.run_files(RUN), thorough=True)
    assert found.state == results.State("done")
    assert found.row is not None
    assert found.row["acc1"] == 72.6530612244898
    table, missing = results.collect_metrics(study, lambda run: None)
    assert table.num_rows == 1
    assert RUN not in missing


def test_columns_added_since_are_null(study: Study) -> None:
    for kind in KINDS:
        table = results.read_part(study.run_files(RUN), kind)
        assert table.schema == results.schema(kind)
        old = pq.ParquetFile(OLD / f"{kind}.parquet").read()
        for name in table.column_names:
            if name in old.column_names:
                assert table[name].equals(pa.chunked_array(old[name]))
            else:
                assert table[name].null_count == table.num_rows
    assert (
        results.read_part(study.run_files(RUN), "history")["heldout_attention_mass"].null_count
        == 80
    )
