"""`gta doctor` names what is wrong and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gta import doctor
from gta.cli import app
from gta.study import Study


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return done.exit_code, {one["check"]: one for one in json.loads(done.stdout)}


def test_a_sound_machine(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    status, found = findings()
    assert {found[name]["state"] for name in ("python", "torch", "results", "tiny_ibot")} == {"ok"}
    assert found["mini_near"]["found"] == "will be rendered"
    assert found["slurm"]["state"] == "note"
    assert status == int(any(one["state"] == "fault" for one in found.values()))


def test_faults_come_with_a_remedy(
    tiny_study: Study, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    locks = workdir / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    found = {one.check: one for one in doctor.examine(tiny_study)}
    assert found["slurm"].state == "fault"
    assert found["snakemake"].remedy.endswith("snakemake --unlock")
    assert all(one.remedy for one in found.values() if one.state == "fault")


def test_a_missing_own_dataset(config: str, workdir: Path) -> None:
    import yaml

    content = yaml.safe_load(Path(config).read_text())
    content["own_datasets"] = {"mine": {"title": "Mine", "path": "~/gone"}}
    content["datasets"] = ["mine"]
    content["recipe"]["evaluation"] = {"resize": 48}
    Path(config).write_text(yaml.safe_dump(content))
    status, found = findings("--config", config)
    assert status == 1
    assert found["mine"]["remedy"] == "correct own_datasets in the config"
