"""A folder or file that this user may not read gives one line, whatever looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gta import files
from gta.cli import main
from tests.faults import harms
from tests.faults.faults import first, lay_out, lines
from tests.support.left import fail


@pytest.fixture
def forbidden(request: pytest.FixtureRequest, workdir: Path) -> Path:
    """A part of a study's results, one of whose runs has failed, that root alone may enter."""
    study = lay_out(workdir)
    run_files = study.run_files(first(study))
    run_files.metrics.unlink()
    fail(study, first(study), "no")
    files.write_text(run_files.log, "a log\n")
    path = study.folder / request.param
    path.chmod(0)
    return path


@pytest.mark.parametrize("forbidden", ["logs", "logs/train", "failures", ""], indirect=True)
def test_what_may_not_be_read_is_one_line(
    forbidden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with harms.ordinary_user():
        for command in (("runs",), ("status", "--once"), ("collect",)):
            said = [line for line in lines(*command) if line.startswith("error")]
            assert len(said) <= 1
            if said:
                assert "ermission denied" in said[0]
        with pytest.raises(SystemExit, match="ermission denied"):
            main(["clean", "--yes", "--study", "study.yaml"])
    assert "damaged" not in capsys.readouterr().out
    forbidden.chmod(0o755)
