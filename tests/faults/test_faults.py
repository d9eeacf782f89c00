"""Each fault is one clear line, and nothing that is damaged counts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gta import results
from gta.results.clean import unused
from gta.study import Study
from tests.faults.faults import FAULTS, Fault, first, gta, lay_out
from tests.support.samples import files_below, random_store


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """The study of ``lay_out``, in a folder that ordinary users may enter."""
    for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    folder = Path(tempfile.mkdtemp(prefix="gta-faults-"))
    monkeypatch.chdir(folder)
    yield lay_out(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_one_line_and_leaves_nothing_half_done(fault: Fault, study: Study) -> None:
    line = fault.line(study)
    assert re.search(fault.said, line), line
    assert "\n" not in line
    assert not [name for name in files_below(study.folder) if Path(name).name.startswith(".")]
    if fault.left_out:
        run, path = first(study), study.run_files(first(study)).metrics
        assert path.exists()  # only a job that trains the run again renames it
        assert gta("collect").startswith("error: results/small/")
        assert len(results.read_collected(study)) == len(study.runs) - 1
        assert not results.is_valid(study.run_files(run), results.Origin("data-1", "source-1"))
        assert results.set_aside(study.run_files(run))
        aside = {*study.folder.rglob("*.damaged.*")}
        assert path.with_name("part.damaged.parquet") in aside
        assert aside <= {item.path for item in unused([study])}
        assert gta("collect").endswith("metrics.parquet: 3 of 4 runs")


def test_a_store_whose_dates_are_new_is_read_through_and_taken(study: Study) -> None:
    from gta.train.inputs import open_store

    folder = study.store("mini_near")
    digest = random_store(folder).digest
    later = (folder / "store.json").stat().st_mtime + 10
    os.utime(folder / "pixels.bin", (later, later))
    assert open_store(study, "mini_near").digest == digest


def test_the_page_names_every_fault(root: Path) -> None:
    page = (root / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [fault.name for fault in FAULTS if f"| {fault.name} |" not in page] == []
