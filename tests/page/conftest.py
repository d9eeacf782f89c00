"""A study with invented results, one of whose runs has failed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gta import files
from gta.study import Study
from tests.page.synthetic import CONFIG, LOST, leave_results

REASON = "the loss is not finite: <script>alert('x')</script> & </script>"


def invent(folder: Path) -> Study:
    """Leave the study's results in the working folder, its config in ``folder``."""
    config = folder / "invented.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    study = Study.load([config])
    leave_results(study, without=[LOST])
    files.write_text(study.run_files(LOST).failure, f"{REASON}\n")
    return study


@pytest.fixture
def study(workdir: Path) -> Study:
    return invent(Path())
