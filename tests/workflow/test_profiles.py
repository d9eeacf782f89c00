"""The profiles: what they name, what they ask for, and jobs on several devices of one machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from yte import process_yaml

from gta.study import Study
from tests.support.staged import KEYS, ROOT, STUDY, StagedStudy


@pytest.fixture
def staged_with(tmp_path: Path) -> Iterator[Callable[..., StagedStudy]]:
    """The staged study on this machine, with settings of the environment."""
    all_of_them: list[StagedStudy] = []

    def make(**env: str) -> StagedStudy:
        staged = StagedStudy(tmp_path, {"TMPDIR": str(tmp_path), **env})
        staged.ready()
        all_of_them.append(staged)
        return staged

    yield make
    for staged in all_of_them:
        staged.end()


def dry_run(staged: StagedStudy, *arguments: str) -> str:
    done = subprocess.run(
        [*staged.snakemake, "--dry-run", *arguments],
        cwd=staged.folder,
        env=staged.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_a_profile_is_found_as_typed_at_the_root_and_names_the_paper(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GTA_DEVICES", "cpu")
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path(f"workflow/profiles/{name}")
    profile = process_yaml((link / "config.yaml").read_text(encoding="utf-8"))
    assert profile["configfile"] == ["config/paper.yaml"]


def test_a_profile_runs_the_paper(staged_with: Callable[..., StagedStudy]) -> None:
    said = dry_run(staged_with(), "--profile", "slurm", "--quiet", "rules")
    jobs = dict(re.findall(r"^(train_[0-9]) +([0-9]+)$", said, re.MULTILINE))
    assert sorted(map(int, jobs.values())) == [30, 30, 30, 60]  # the 1,470 runs in packs


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_a_profile_runs_a_study_of_ones_own(
    name: str, staged_with: Callable[..., StagedStudy]
) -> None:
    staged = staged_with(GTA_DEVICES="cpu")
    said = dry_run(staged, "--profile", name, "--quiet", "rules", "--configfile", "study.yaml")
    assert re.search(r"^train_0 +3$", said, re.MULTILINE)


def test_nothing_in_the_default_profile_hides_what_a_named_one_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (ROOT / "workflow/profiles/default/config.yaml").read_text(encoding="utf-8")
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.setattr("sys.argv", ["snakemake"])
    assert process_yaml(text)["cores"] == "all"
    for words in (["--profile", "slurm"], ["--profile=mine"]):
        monkeypatch.setattr("sys.argv", ["snakemake", *words])
        ours = process_yaml(text)
        for name in ("slurm", "local"):
            monkeypatch.setenv("GTA_DEVICES", "cpu:0,cpu:1")
            theirs = process_yaml((ROOT / name / "config.yaml").read_text(encoding="utf-8"))
            assert not ours.keys() & theirs.keys()


def test_profiles_set_options_of_training_by_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_rules` holds that `train` stands for every training rule."""
    monkeypatch.setenv("GTA_DEVICES", "cpu:0,cpu:1")
    slurm, local = (
        process_yaml((ROOT / name / "config.yaml").read_text(encoding="utf-8"))
        for name in ("slurm", "local")
    )
    assert slurm["set-threads"].keys() == local["set-threads"].keys() == {"train"}
    used = {"train", "segmentation", "robustness", "averages", "backdoor"}
    assert slurm["set-resources"].keys() == used


def test_time_and_memory_come_from_the_recipe(staged_with: Callable[..., StagedStudy]) -> None:
    tables = str(staged_with().folder / "tables.yaml")
    run = "dataset=mini_near/rate=100/source=tiny_ibot/method=gta/mix=none/lam=1/seed=0"
    pack = dict(field.split("=") for field in run.split("/"))
    # plain Python, which the rules include
    text = (ROOT / "workflow/rules/resources.smk").read_text(encoding="utf-8")

    def asked(attempt: int, **recipe: int) -> tuple[int, int]:
        changed = {**STUDY, "recipe": {**STUDY["recipe"], **recipe}, "tables_file": tables}
        settings = SimpleNamespace(overwrite_threads={}, overwrite_resources={})
        workflow = SimpleNamespace(resource_settings=settings)
        names: dict[str, Any] = {"study": Study(changed), "workflow": workflow}
        exec(text, names)
        return names["training_minutes"](pack, attempt), names["training_memory"](pack, attempt)

    assert asked(1) == (31, 6002)
    assert asked(3) == (93, 18006)
    # 3,000 batches of 768 images at 150 a second; 8 of them in memory
    paper = {"iterations": 3000, "batch_size": 768, "image_size": 224}
    assert asked(1, **paper) == (286, 9700)
    assert asked(3, **paper | {"iterations": 6000})[0] == 24 * 60  # no more; training goes on


def test_jobs_share_out_the_devices_and_killed_ones_give_them_back(
    staged_with: Callable[..., StagedStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = staged_with(GTA_DEVICES="cuda:0,cuda:1", CUDA_VISIBLE_DEVICES="4,5")
    for key in KEYS:
        staged.order(key, "wait go", "ok")
    parts = [str(staged.part(key)) for key in KEYS]
    head = staged.start("--profile", "local", "--", *parts)
    first, second = staged.wait_for("started", count=2)
    assert {first["device"], second["device"]} == {"cuda:0", "cuda:1"}
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert first["argv"][-2:] == ["--threads", str(threads)]
    os.kill(first["pid"], signal.SIGKILL)
    third = staged.wait_for("started", count=3)[2]  # only now is there a device for it
    assert third["device"] == first["device"]
    (staged.folder / "go").touch()
    staged.finish(head)
    assert sorted(event["key"] for event in staged.events("trained")) == sorted(KEYS)
    assert not staged.half_written()


def test_without_a_gpu_the_cpu_takes_as_many_jobs_as_it_has_cores(
    staged_with: Callable[..., StagedStudy],
) -> None:
    staged = staged_with(GTA_DEVICES="cpu")
    for key in KEYS:
        staged.order(key, "wait go")
    head = staged.start(
        "--profile", "local", "--cores", "3", "--", *(str(staged.part(k)) for k in KEYS)
    )
    started = staged.wait_for("started", count=3)
    assert {event["device"] for event in started} == {"cpu"}
    (staged.folder / "go").touch()
    staged.finish(head)
