"""``snakemake --profile slurm`` on a real cluster: what becomes of jobs, come what may."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.conftest import HASTE, on
from tests.support.staged import KEYS, StagedStudy, until

pytestmark = pytest.mark.xdist_group("slurm")


def job_of(staged: StagedStudy, cluster: Cluster, key: str, attempt: int = 1) -> dict[str, str]:
    """SLURM's record of an attempt at a run, which must have started."""
    events = staged.wait_for("started", key, attempt)
    return cluster.job(events[attempt - 1]["job"])


def test_two_jobs_train_on_two_gpus_and_nothing_is_done_twice(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    rules = staged.copy_workflow()
    for key in KEYS:
        staged.order(key, "wait go")
    head = start(*KEYS)
    running = staged.wait_for("started", count=2)
    assert {event["visible"] for event in running} == {"0", "1"}
    assert {event["device"] for event in running} == {"cuda:0"}
    third = until(lambda: [n for n, s in cluster.states().items() if s == "PENDING"], "a third job")
    job = cluster.job(third[0])
    assert job["TresPerJob"] == "gres:gpu:1"
    assert (job["TimeLimit"], job["MinMemoryNode"]) == ("00:31:00", "6002M")
    # The third job will read the rules anew and see code and times that are not the first's.
    inputs = (rules / "inputs.smk").read_text(encoding="utf-8")
    changed = inputs.replace("gta data prepare", "exec gta data prepare")
    assert changed != inputs
    (rules / "inputs.smk").write_text(changed, encoding="utf-8")
    for path in (staged.folder / "data/store").rglob("*.*"):
        path.touch()
    (staged.folder / "go").touch()
    staged.finish(head)
    prepared = sorted(event["key"] for event in staged.events("prepared"))
    assert prepared == ["mini_near", "tiny_ibot"]
    assert not [event for event in staged.events("prepared") if event["visible"]]  # no GPU
    assert sorted(event["key"] for event in staged.events("trained")) == sorted(KEYS)
    assert "Nothing to be done" in staged.finish(start(*KEYS))


def test_jobs_that_fail_or_are_cancelled_or_outgrow_their_memory_are_tried_again(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("finetune-0", "fail", "ok")
    staged.order("gta-0.1", "wait forever", "ok")
    staged.order("gta-1", "eat 8000", "ok")
    head = start(*KEYS)
    cluster.cancel(job_of(staged, cluster, "gta-0.1")["JobId"])
    staged.finish(head)
    for key, state in (("finetune-0", "FAILED"), ("gta-0.1", "CANCELLED"), ("gta-1", "FAILED")):
        first, second = (job_of(staged, cluster, key, attempt) for attempt in (1, 2))
        assert (first["JobState"], second["JobState"]) == (state, "COMPLETED"), key
        assert (first["TimeLimit"], second["TimeLimit"]) == ("00:31:00", "01:02:00")
        assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("6002M", "12004M")
        assert len(staged.events("trained", key)) == 1
    assert "the loss is not finite at iteration 3 (staged)" in staged.said
    assert not staged.events("prepared")


@pytest.mark.slow
def test_a_job_that_fails_for_good_leaves_the_others_running(
    staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-0.1", *["fail"] * 3)
    head = start("gta-0.1", "gta-1")
    assert head.wait(900) == 1
    assert len(staged.events("started", "gta-0.1")) == 3
    assert len(staged.events("trained", "gta-1")) == 1


def test_a_killed_head_is_started_again_while_its_jobs_run(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-0.1", "wait go")
    staged.order("gta-1", "ok", "ok")
    head = start("gta-0.1", "gta-1")
    staged.wait_for("trained", "gta-1")
    first = job_of(staged, cluster, "gta-0.1")
    head.send_signal(signal.SIGKILL)
    head.wait()

    locked = start("gta-0.1", "gta-1")
    assert locked.wait(60) == 1
    assert "--unlock" in staged.said
    staged.finish(staged.start("--profile", "slurm", "--unlock"))
    again = start("gta-0.1", "gta-1")
    staged.wait_for("waits", "gta-0.1")  # a second job for the run: it writes nothing
    assert cluster.job(first["JobId"])["JobState"] == "RUNNING"
    (staged.folder / "go").touch()
    staged.finish(again)
    for key in ("gta-0.1", "gta-1"):
        assert len(staged.events("trained", key)) == 1
    (trained,) = staged.events("trained", "gta-0.1")
    assert trained["job"] == first["JobId"]
    assert len(staged.events("kept", "gta-0.1")) == 1
    assert not staged.half_written()
    assert "Nothing to be done" in staged.finish(start("gta-0.1", "gta-1"))


@pytest.mark.slow
def test_an_interrupted_head_cancels_its_jobs(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-1", "wait go", "ok")
    head = start("gta-1")
    job = job_of(staged, cluster, "gta-1")
    head.send_signal(signal.SIGINT)
    assert head.wait(60) != 0
    until(lambda: cluster.job(job["JobId"])["JobState"] == "CANCELLED", "the job is cancelled")
    staged.finish(start("gta-1"))  # nothing to unlock
    assert len(staged.events("trained", "gta-1")) == 1
    assert not staged.half_written()


@pytest.mark.slow
def test_a_job_is_warned_before_its_time_is_up_and_can_save(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-1", "save 20", "ok")  # longer than SLURM's own last seconds
    staged.edit_profile("slurm", "# runtime: 240 * attempt", "runtime: 4 * attempt")
    staged.finish(start("gta-1"), seconds=600)
    (warned,), (saved,) = staged.events("warned"), staged.events("saved")
    assert saved["time"] - warned["time"] >= 20
    first, second = (job_of(staged, cluster, "gta-1", attempt) for attempt in (1, 2))
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:04:00", "00:08:00")


@pytest.mark.slow
def test_a_job_that_does_not_listen_is_ended_by_its_time_limit(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-1", "deaf", "ok")
    staged.edit_profile("slurm", "# runtime: 240 * attempt", "runtime: 1 * attempt")
    staged.finish(start("gta-1"))
    first, second = (job_of(staged, cluster, "gta-1", attempt) for attempt in (1, 2))
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert len(staged.events("trained", "gta-1")) == 1


@pytest.mark.slow
def test_a_job_goes_back_into_the_queue_when_its_node_goes_down(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-1", "wait go", "ok")
    head = start("gta-1")
    job = job_of(staged, cluster, "gta-1")
    cluster.node("down")
    until(lambda: cluster.job(job["JobId"])["JobState"] == "PENDING", "the job is requeued")
    cluster.node("resume")
    staged.finish(head)
    assert cluster.job(job["JobId"])["Restarts"] == "1"
    assert {event["job"] for event in staged.events("started")} == {job["JobId"]}
    assert len(staged.events("trained", "gta-1")) == 1
    assert not staged.half_written()


@pytest.mark.slow
def test_a_call_outlives_an_outage_of_slurm(
    cluster: Cluster, staged: StagedStudy, start: Callable
) -> None:
    staged.ready()
    staged.order("gta-0.1", "wait first")
    staged.order("gta-1", "wait second")
    head = start("gta-0.1", "gta-1")
    staged.wait_for("started", count=2)
    with cluster.outage():
        (staged.folder / "first").touch()  # a job ends while SLURM is away
        staged.wait_for("trained", "gta-0.1")
        time.sleep(30)  # several rounds of checks, of `scontrol` too, would fail
    (staged.folder / "second").touch()
    staged.finish(head)
    assert len(staged.events("started")) == 2


@pytest.mark.slow
def test_jobs_that_slurm_forgets_during_an_outage_are_looked_after(
    forgetful_cluster: Cluster, tmp_path: Path
) -> None:
    with on(forgetful_cluster, tmp_path) as staged:
        staged.ready()
        staged.order("gta-0.1", "wait go")
        staged.order("gta-1", "wait forever", "ok")
        squeue, down = tmp_path / "bin" / "squeue", tmp_path / "down"
        squeue.write_text(
            f'#!/bin/sh\n[ -e {down} ] || exec {shutil.which("squeue")} "$@"\nexit 1\n'
        )
        squeue.chmod(0o755)
        parts = [str(staged.part(key)) for key in ("gta-0.1", "gta-1")]
        head = staged.start("--profile", "slurm", *HASTE, "--", *parts)
        staged.wait_for("started", count=2)
        down.touch()
        (tmp_path / "go").touch()
        forgetful_cluster.cancel(staged.events("started", "gta-1")[0]["job"])
        until(lambda: not forgetful_cluster.states(), "SLURM forgets both")
        down.unlink()
        said = staged.finish(head)
    assert said.count("SLURM no longer lists job") == 2
    assert len(staged.events("started", "gta-0.1")) == 1  # its output was there
    assert len(staged.events("started", "gta-1")) == 2
