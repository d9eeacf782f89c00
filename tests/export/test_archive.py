"""Archives of results: whole or refused, and nothing is overwritten."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

import gta
from tests.support import commands


@pytest.fixture
def archive(in_finished: Path, tmp_path: Path) -> Path:
    """An archive of the finished study."""
    path = tmp_path / "mini.tar"
    commands.gta("archive", "mini", "--out", str(path), "--models")
    return path


def test_there_and_back(
    archive: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = json.loads(commands.gta("import", str(archive), "--json"))
    assert manifest["new"] == len(manifest["files"])
    assert len(manifest["runs"]) == 16
    study = gta.open("results/mini")
    assert study.metrics.equals(gta.open(finished / "results" / "mini").metrics)
    assert study.runs()[0].model().num_classes == 14
    assert "0 of " in commands.gta("import", str(archive))
    assert "16 runs were imported from " in commands.gta("runs", "-c", "results/mini/config.yaml")


def test_nothing_is_overwritten(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands.gta("import", str(archive))
    part = next(Path("results/mini/metrics").rglob("part.parquet"))
    part.write_bytes(b"mine")
    shutil.rmtree("results/mini/history")
    error = commands.error_of("import", str(archive))
    assert "1 files are there already with another content: metrics/" in error
    assert part.read_bytes() == b"mine"
    assert not Path("results/mini/history").exists()
    assert [path.name for path in Path("results").iterdir()] == ["mini"]


def altered(archive: Path, out: Path, **changes: bytes) -> Path:
    """An archive with files replaced or added; ``manifest`` stands for its manifest."""
    with tarfile.open(archive) as old, tarfile.open(out, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            key = member.name.partition(".")[0]
            data = changes.pop(key, None) or content.read()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        for name, data in changes.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return out


def manifest_of(archive: Path) -> dict[str, object]:
    with tarfile.open(archive) as content:
        file = content.extractfile("manifest.json")
        assert file is not None
        return json.loads(file.read())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": b"study: other"}, "config.yaml is missing or damaged"),
        ({"../evil": b"x"}, "holds ../evil, which its manifest lacks"),
        ({"manifest": b"{}"}, "its manifest lacks a field"),
        ({"manifest": b"no json"}, "its manifest is not JSON"),
    ],
)
def test_a_damaged_or_hostile_archive_changes_nothing(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, bytes],
    said: str,
) -> None:
    bad = altered(archive, tmp_path / "bad.tar", **change)
    monkeypatch.chdir(tmp_path)
    assert said in commands.error_of("import", str(bad))
    assert not list(Path("results").iterdir())
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".hidden/x", "a/../../x"])
def test_a_manifest_that_leaves_the_study_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    manifest = manifest_of(archive)
    manifest["files"] = {name: "0" * 64}
    bad = altered(archive, tmp_path / "bad.tar", manifest=json.dumps(manifest).encode())
    monkeypatch.chdir(tmp_path)
    assert "names a file outside the study" in commands.error_of("import", str(bad))


def test_what_is_not_an_archive(workdir: Path) -> None:
    Path("text.tar").write_text("text")
    assert "text.tar: cannot be unpacked" in commands.error_of("import", "text.tar")


@pytest.mark.parametrize("target", ["csv", "tensorboard", "mlflow"])
def test_a_study_for_other_tools(target: str, in_finished: Path, tmp_path: Path) -> None:
    for package in {"csv": (), "tensorboard": ("tensorboard",)}.get(target, ("mlflow", "alembic")):
        pytest.importorskip(package, reason="comes with the extra `trackers`")
    out = tmp_path / target
    commands.gta("export", "mini", "--to", target, "--out", str(out))
    if target == "csv":
        assert {"metrics.csv", "history.csv", "best.csv"} <= {path.name for path in out.iterdir()}
    if target == "tensorboard":
        assert len(list(out.glob("*/seed=*/events*"))) == 16
    if target == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
        (experiment,) = (e for e in client.search_experiments() if e.name == "mini")
        runs = client.search_runs([experiment.experiment_id], max_results=100)
        seeds = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
        assert (len(runs), len(seeds)) == (8 + 16, 16)
        assert "acc1" in seeds[0].data.metrics
    assert "--to: 'excel' is not one of" in commands.error_of("export", "mini", "--to", "excel")
