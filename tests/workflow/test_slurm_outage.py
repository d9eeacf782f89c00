"""The SLURM plugin's status checks while SLURM does not answer, without a cluster."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from yte import process_yaml

from gta.errors import GtaError
from gta.workflow import slurm
from tests.support.staged import ROOT

plugin = pytest.importorskip("snakemake_executor_plugin_slurm")


class Limiter:
    """The rate limiter of status checks, without the wait."""

    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


class Executor(plugin.Executor):  # type: ignore[name-defined]
    """The plugin's executor without Snakemake; keeps what is reported of jobs."""

    def __init__(self, attempts: int) -> None:
        settings = SimpleNamespace(
            init_seconds_before_status_checks=40,
            status_attempts=attempts,
            status_command="squeue",
            keep_successful_logs=True,
        )
        self.workflow = SimpleNamespace(executor_settings=settings)
        self.logger = logging.getLogger("test")
        self.run_uuid = "id"
        self.status_rate_limiter = Limiter()
        self._next_seconds_between_status_checks = 40
        self._status_query_failures = self._status_query_calls = 0
        self._status_query_total_seconds = 0.0
        self._status_query_min_seconds, self._status_query_max_seconds = None, 0.0
        self._status_query_cycle_rows: list[Any] = []
        self.succeeded: list[str] = []

    def report_job_success(self, job_info: Any) -> None:
        self.succeeded.append(job_info.external_jobid)

    def check(self, *jobs: str) -> list[str]:
        """One round of checks of these jobs; gives those that are still waited for."""

        async def still_active() -> list[str]:
            infos = [SimpleNamespace(external_jobid=job, aux={}) for job in jobs]
            return [job.external_jobid async for job in self.check_active_jobs(infos)]

        return asyncio.run(still_active())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `sacct`, `scontrol` and a `squeue` that fails once for each line of `down`."""
    for name in ("sacct", "scontrol"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    squeue = tmp_path / "squeue"
    squeue.write_text(
        f"#!/bin/sh\n[ -s {tmp_path}/down ] && sed -i 1d {tmp_path}/down && exit 1\n"
        f"cat {tmp_path}/states\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The shipped profile; reading it corrects the plugin, here for one test."""
    for name in ("get_min_job_age", "query_job_status"):
        monkeypatch.setattr(plugin, name, getattr(plugin, name))
    monkeypatch.setattr(plugin.Executor, "check_active_jobs", plugin.Executor.check_active_jobs)
    return process_yaml((ROOT / "slurm" / "config.yaml").read_text(encoding="utf-8"))


def test_the_profile_bears_an_outage_of_ten_minutes(profile: dict[str, Any]) -> None:
    seconds = profile["slurm-status-attempts"] / profile["max-status-checks-per-second"]
    assert seconds > 10 * 60
    assert profile["slurm-status-command"] == "squeue"


def test_a_round_of_checks_lasts_until_squeue_answers(
    programs: Path, profile: dict[str, Any]
) -> None:
    (programs / "down").write_text("failure\n" * 20)
    (programs / "states").write_text("1|COMPLETED\n2|RUNNING\n")
    executor = Executor(attempts=profile["slurm-status-attempts"])
    assert executor.check("1", "2") == ["2"]
    assert executor.succeeded == ["1"]


@pytest.mark.usefixtures("profile")
def test_a_job_that_slurm_has_forgotten_is_not_waited_for(programs: Path) -> None:
    (programs / "states").write_text("2|PENDING\n3_[0-4]|PENDING\n")
    executor = Executor(attempts=1)
    assert executor.check("1", "2", "3_4") == ["2", "3_4"]
    assert executor.succeeded == ["1"]  # Snakemake then looks for its output


def test_a_plugin_without_the_corrected_functions_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(plugin, "get_min_job_age")
    with pytest.raises(GtaError, match=r"has no get_min_job_age: pip install 'gta\[slurm\]'"):
        slurm.bear_outages()
    monkeypatch.setitem(sys.modules, "snakemake_executor_plugin_slurm", None)
    with pytest.raises(GtaError, match=r"is missing\): pip install 'gta\[slurm\]'"):
        slurm.bear_outages()
